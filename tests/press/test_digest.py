"""A change planted at each place moves the digest that it should, and no other."""

import pytest

from lib.press import closure, digest
from tests.press.conftest import TINY, edit

RESULT = [
    ("chapters/src/01_tiny.md", "tiny.twice(21)", "tiny.twice(20)"),
    ("chapters/src/01_tiny.md", "count: int = 50", "count: int = 60"),
    ("lib/analysis/tiny.py", "FACTOR = 2", "FACTOR = 3"),
    ("data/registry.yml", "sha256: aa", "sha256: ab"),
    ("data/bundled/table.csv", "1,2", "1,3"),
    ("requirements.txt", "numpy==2.4.6", "numpy==2.4.7"),
]
PAGE_ONLY = [
    ("chapters/src/01_tiny.md", "# A tiny chapter", "# A small chapter"),
    ("chapters/src/01_tiny.md", 'label="draws"', 'label="points"'),
    ("lib/press/figures.py", '"#0072B2"', '"#0072B3"'),
    ("lib/press/verdicts.py", '"holds in direction"', '"holds roughly"'),
    ("data/claims/01.yml", "near nothing", "near zero"),
]
NEITHER = [
    ("lib/analysis/tiny.py", "# plain", "# a plainer comment"),
    ("lib/analysis/tiny.py", '"""Two times x."""', '"""Twice x."""'),
    ("lib/analysis/unused.py", "x = 1", "x = 2"),
    ("lib/press/prepare.py", "30_000_000", "40_000_000"),
    ("data/registry.yml", "sha256: bb", "sha256: bc"),
    ("requirements.txt", "scipy==1.17.1", "scipy==1.17.2"),
]


def _moved(tiny, file, old, new):
    before = digest.result_digest(tiny), digest.page_digest(tiny)
    edit(tiny.book.root / file, old, new)
    after = digest.result_digest(tiny), digest.page_digest(tiny)
    return before[0] != after[0], before[1] != after[1]


@pytest.mark.parametrize("place", RESULT, ids=lambda p: f"{p[0]}: {p[1]}")
def test_what_computes_moves_both(tiny, place):
    assert _moved(tiny, *place) == (True, True)


@pytest.mark.parametrize("place", PAGE_ONLY, ids=lambda p: f"{p[0]}: {p[1]}")
def test_what_only_shows_moves_the_page(tiny, place):
    assert _moved(tiny, *place) == (False, True)


@pytest.mark.parametrize("place", NEITHER, ids=lambda p: f"{p[0]}: {p[1]}")
def test_what_is_not_read_moves_nothing(tiny, place):
    assert _moved(tiny, *place) == (False, False)


@pytest.mark.parametrize(
    "file", ["data/results/01.teach.json", "data/results/01.full.json", "chapters/exercises/01.py"]
)
def test_what_a_page_shows_moves_the_page(tiny, file):
    before = digest.page_digest(tiny)
    path = tiny.book.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert digest.page_digest(tiny) != before


def test_full_parameters_count_for_the_full_run_alone(tiny):
    teach, full = digest.result_digest(tiny), digest.result_digest(tiny, "full")
    edit(tiny.book.root / "chapters/params/01.full.yml", "# many\n", "# very many\n")
    assert digest.result_digest(tiny, "full") == full
    edit(tiny.book.root / "chapters/params/01.full.yml", "500", "600")
    assert digest.result_digest(tiny) == teach
    assert digest.result_digest(tiny, "full") != full


def test_nested_imports_and_lazy_exports_are_followed(tiny):
    root = tiny.book.root
    (root / "lib/kernels").mkdir()
    table = 'exports(__name__, {"a": ".first", "b": ".second"})'
    lazy = f'"""K."""\nfrom lib._lazy import exports\n__getattr__, __dir__, __all__ = {table}\n'
    (root / "lib/kernels/__init__.py").write_text(lazy)
    (root / "lib/kernels/first.py").write_text("def a():\n    from .deep import c\n    import scipy.stats\n")
    (root / "lib/kernels/second.py").write_text("import yaml\n")
    (root / "lib/kernels/deep.py").write_text("import sklearn\n")
    one = closure.reach(root, ["from lib.kernels import a"])
    assert {f for f in one.files if "kernels" in f} == {f"lib/kernels/{n}.py" for n in ("__init__", "first", "deep")}
    assert one.packages == {"scipy", "scikit-learn"}
    (root / "lib/models").mkdir()
    (root / "lib/models/__init__.py").write_text(lazy.replace('".first"', '"lib.kernels"'))
    twice = closure.reach(root, ["from lib.models import a"])
    assert twice.files >= one.files
    everything = closure.reach(root, ["import lib.kernels as k\nk.b()"])
    assert "lib/kernels/second.py" in everything.files
    assert everything.packages >= {"pyyaml", "scipy", "scikit-learn"}


def test_an_import_by_a_computed_name_takes_in_the_whole_folder(tiny):
    root = tiny.book.root
    (root / "lib/analysis/tiny.py").write_text("import importlib\ndef f(n):\n    importlib.import_module(n)\n")
    assert "lib/analysis/unused.py" in closure.reach(root, ["from lib.analysis import tiny"]).files


def test_the_lazy_tables_are_no_computed_names(tiny):
    root = tiny.book.root
    (root / "lib/another.py").write_text("x = 1\n")
    found = closure.reach(root, ["from lib.analysis import tiny"]).files
    assert "lib/another.py" not in found
    assert "lib/another.py" in closure.reach(root, ["from lib import another"]).files


def test_a_new_entry_of_a_lazy_table_voids_nothing(tiny):
    assert digest.normalise('x = exports(__name__, {"a": ".a"})') == digest.normalise(
        'x = exports(__name__, {"b": ".b"})'
    )


def test_code_that_differs_in_one_constant_is_told_apart():
    assert digest.normalise(TINY) != digest.normalise(TINY.replace("FACTOR = 2", "FACTOR = 4"))


def test_import_names_of_the_library_are_known_distributions():
    """Every package that the real library imports is pinned under the name that the closure gives it."""
    from importlib import metadata

    from lib.press.paths import Book

    root = Book.current().root if (Book.current().root / "requirements.txt").exists() else None
    assert root is not None
    code = [path.read_text() for path in (root / "lib").rglob("*.py")]
    pins, by_import = digest.locked(root), metadata.packages_distributions()
    for name in closure.reach(root, code, skip=()).packages:
        tops = [top for top, dists in by_import.items() if name in {d.lower().replace("_", "-") for d in dists}]
        assert not tops or name in pins, f"{name} is imported but not pinned"
