"""Each rule over a chapter's text refuses what it is there to refuse."""

import pytest

from lib.press import guards
from lib.press.paths import Book
from tests.press.conftest import edit

SPOILED = [
    ("seed: int = 0  # of the generator\n", "", guards.parameters, "lacks 'seed'"),
    ("count: int = 50  # points drawn", "count: int = 50", guards.parameters, "without a comment"),
    ("count: int = 50", "count: int = 5.5", guards.parameters, "does not fit"),
    ("count: int = 50  #", "count = 50  #", guards.parameters, "no typed assignment"),
    ('run.check_parameters("01")', "pass", guards.parameters, "must be run.check_parameters"),
    ('run.check_parameters("01")', 'run.check_parameters("02")', guards.parameters, "must be run.check_parameters"),
    ("import numpy as np\n", "%matplotlib inline\n", guards.cells, "a magic"),
    ("import numpy as np\n", "!pip install numpy\n", guards.cells, "a magic"),
    ("import numpy as np\n", "from tqdm import tqdm\n", guards.cells, "a progress bar"),
    ("import numpy as np\n", "x = '/home/me/data'\n", guards.cells, "an absolute path"),
    ("import numpy as np\n", "import time; t = time.time()\n", guards.cells, "a timing"),
    ("import numpy as np\n", "import ipywidgets\n", guards.cells, "a widget"),
    ("import numpy as np\n", "x = 1\n" * 20, guards.cells, "lines; at most 15"),
    ("import numpy as np\n", "def f():\n" + "    x = 1\n" * 8, guards.cells, "longer than 6"),
    (":tags: [figure]\n", "", guards.cells, "lacks the tag figure"),
    ("figures.show(fig,", "ledger.record('x', 1, setting='post'); figures.show(fig,", guards.cells, "but records"),
    ("ledger.table()", "ledger.table(", guards.cells, "not plain Python"),
    ("# A tiny chapter", "# A tiny chapter\n\nThe claim **holds**.", guards.verdicts_computed, "is typed"),
]


@pytest.mark.parametrize(("old", "new", "rule", "named"), SPOILED, ids=[f"{s[2].__name__}-{s[3]}" for s in SPOILED])
def test_rule_refuses(tiny, old, new, rule, named):
    assert rule(tiny) == []
    edit(tiny.source, old, new)
    assert any(named in line for line in rule(tiny))


def test_a_chapter_that_was_never_built_is_named(tiny):
    problems = guards.check_book(tiny.book)
    assert any("chapter 01: it has no notebook" in line for line in problems)
    assert any("records no values" in line for line in problems)


def test_the_arrows_of_the_library_point_one_way():
    assert guards.arrows(Book.current().root) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("kernels", "from lib.models import hybrid"),
        ("press", "import lib.datasets.registry"),
        ("models", "def f():\n    from lib.trainers import checkpoint"),
        ("datasets", "from lib.press import figures"),
    ],
)
def test_an_arrow_against_the_stream_is_refused(tiny, room, line):
    folder = tiny.book.root / "lib" / room
    folder.mkdir(exist_ok=True)
    (folder / "wrong.py").write_text(line + "\n")
    assert any(f"lib.{room} must not import" in problem for problem in guards.arrows(tiny.book.root))


def test_a_parameters_file_names_its_profile(tiny):
    assert guards.profiles(tiny) == []
    edit(tiny.book.root / "chapters/params/01.smoke.yml", "profile: smoke\n", "")
    assert guards.profiles(tiny) == ["chapters/params/01.smoke.yml must say profile: smoke"]
