"""A book of one tiny chapter, made afresh for each test, so that anything in it may be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lib.press.paths import Book, Chapter

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
book:
  datasets: [table]
  files: [data/bundled/table.csv]
---
# A tiny chapter

The mean is 0.00<!--= mean :.2f --> and the claim holds<!--= verdict:tiny.mean -->.

```{code-cell} ipython3
import numpy as np

from lib.press import figures, ledger, run
```

```{code-cell} ipython3
:tags: [parameters]
profile: str = "teach"  # which size
seed: int = 0  # of the generator
count: int = 50  # points drawn
shape: list[float] = [0.0, 1.0]  # mean and spread
```

```{code-cell} ipython3
run.check_parameters("01")
```

```{code-cell} ipython3
from lib.analysis import tiny

xs = np.random.default_rng(seed).normal(*shape, size=count)
ledger.record("mean", xs.mean(), setting="simulated", n=count, seeds=[seed])
ledger.record("twice", tiny.twice(21), setting="post")
```

```{code-cell} ipython3
:tags: [figure]
fig, axes = figures.subplots()
axes.plot(xs, label="draws")
figures.show(fig, alt="Fifty draws scatter evenly around zero without a trend.")
```

```{code-cell} ipython3
:tags: [page]
ledger.table()
```

```{code-cell} ipython3
:tags: [page]
ledger.full_run()
```

```{code-cell} ipython3
run.finish()
```
"""
CLAIMS = """
- id: tiny.mean
  claim: The mean of the draws is near nothing.
  source: section 1
  kind: reasoning
  reported: 0
  key: mean
  exact: abs(value) < 0.5
- id: tiny.twice
  claim: Twice twenty-one is forty-two.
  source: section 1
  kind: arithmetic
  reported: 42
  key: twice
  exact: value == reported
- id: tiny.large
  claim: A large number, of a run that nobody has made.
  source: section 2
  kind: magnitude
  reported: 7
  key: large
  profile: full
  exact: value == reported
"""
TINY = '''"""Twice."""

FACTOR = 2


def twice(x):
    """Two times x."""
    return FACTOR * x  # plain
'''
REGISTRY = "- {name: table, sha256: aa, licence: MIT}\n- {name: other, sha256: bb, licence: MIT}\n"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """The one chapter of a fresh book that has its own `lib`, never built yet."""
    root = tmp_path / "a book"
    shutil.copytree(REPOSITORY / "lib" / "press", root / "lib" / "press", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py", "_lazy.py"):
        shutil.copy(REPOSITORY / "lib" / name, root / "lib" / name)
    files = {
        "chapters/src/01_tiny.md": SOURCE,
        "chapters/params/01.smoke.yml": "profile: smoke\ncount: 5\n",
        "chapters/params/01.full.yml": "# many\nprofile: full\ncount: 500\n",
        "data/claims/01.yml": CLAIMS,
        "data/registry.yml": REGISTRY,
        "data/bundled/table.csv": "a,b\n1,2\n",
        "lib/analysis/__init__.py": '"""Analyses."""\n',
        "lib/analysis/tiny.py": TINY,
        "lib/analysis/unused.py": "x = 1\n",
        "requirements.txt": "numpy==2.4.6\nscipy==1.17.1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setenv("BOOK_ROOT", str(root))
    monkeypatch.setenv("BOOK_RUNS", str(root / "runs"))
    monkeypatch.setenv("PYTHONPATH", str(root))
    return Book(root).chapter("01")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a piece of a file that must be there."""
    text = path.read_text()
    assert old in text, f"{path.name} does not hold {old!r}"
    path.write_text(text.replace(old, new))
