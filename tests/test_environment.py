"""The ways to install the book say the same thing."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from lib.press.digest import locked

ROOT = Path(__file__).resolve().parents[1]
DIFFERENCES = {"torchaudio", "encodec==0.1.1"}  # declared, each with its reason, in environment.yml


def _lines(name):
    lines = (line.strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_the_conda_pip_part_is_the_lock_and_the_declared_differences():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert set(pip) - set(_lines("requirements.txt")) == DIFFERENCES
    assert set(_lines("requirements.txt")) - set(pip) == set()


def test_every_difference_says_why():
    text = (ROOT / "environment.yml").read_text()
    for line in DIFFERENCES:
        assert re.search(rf"- {re.escape(line)}  # .{{20,}}", text), f"{line} has no reason beside it"


def test_conda_specs_are_well_formed():
    """name, then nothing or an operator and a version: what a MatchSpec of this file may be."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    specs = [item for item in environment["dependencies"] if isinstance(item, str)]
    assert "python=3.11" in specs
    for spec in specs:
        assert re.fullmatch(r"[a-z0-9_.-]+((=|>=|<=|==)[0-9][0-9a-z.*]*)?", spec), spec


def test_pins_are_exact_and_unique():
    pins = _lines("requirements.txt") + _lines("requirements-data.txt")
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", pin) for pin in pins)
    names = [pin.split("==")[0].lower() for pin in pins]
    assert len(names) == len(set(names))


def test_what_is_installed_is_what_is_pinned():
    for name, version in locked(ROOT).items():
        assert metadata.version(name).split("+")[0] == version, name


def test_importing_the_library_is_light():
    """No heavy package is loaded by `import lib` or by its rooms (a count of modules, not of seconds)."""
    rooms = sorted(path.parent.name for path in (ROOT / "lib").glob("*/__init__.py"))
    code = "import sys; import lib, " + ", ".join(f"lib.{room}" for room in rooms) + "; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "numpy", "pandas", "matplotlib", "sklearn", "rdkit", "mne", "mlx", "transformers", "nbformat"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "Makefile", "_config.yml", "_toc.yml", ".ci/run"])
def test_the_repository_holds(name):
    assert (ROOT / name).stat().st_size > 0


def test_the_make_targets_are_those_that_the_readme_names():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / "README.md").read_text(), flags=re.M))
    assert named <= targets, named - targets
    assert {"book", "test", "check", "chapter", "full", "full-status", "prepare", "lab", "bench", "clean"} <= named


def test_no_file_speaks_of_this_machine():
    """Nothing that is tracked holds the folder of this checkout or of this user."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    texts = {".py", ".md", ".yml", ".toml", ".ipynb", ".json", ".txt", ".sh", ".css", ".js", ".csv"}
    for path in (ROOT / name for name in tracked.split("\0") if Path(name).suffix in texts):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for place in (str(ROOT), str(Path.home()) + "/"):
            assert place not in text, f"{path.relative_to(ROOT)} names {place}"
