"""What a chapter must be and must never do: one function a rule, each returning the problems that it finds."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from lib.errors import BookError
from lib.press import build, claims, prose, results, run, source, verdicts
from lib.press.canonical import FIGURE, alt_text
from lib.press.parameters import declared, fits
from lib.press.paths import Book, Chapter

MAX_LINES = 15  # of a cell
MAX_FUNCTION = 6  # lines of a function in a cell
FORBIDDEN = {
    r"^\s*[%!]": "a magic or a shell line",
    r"get_ipython\(": "a call to get_ipython",
    r"\bpip3? install\b|\bconda install\b": "an install",
    r"\btqdm\b|\bprogress_bar\b": "a progress bar",
    r"\bipywidgets\b": "a widget",
    r"['\"](/[A-Za-z][\w.-]*/|~/|[A-Za-z]:\\\\)": "an absolute path",
    r"\bperf_counter\b|\btime\.time\b|\bprocess_time\b|\btimeit\b|\bdatetime\.now\b": "a timing",
}
ROOMS = {  # who may import whom inside lib
    "kernels": {"kernels"},
    "models": {"models", "kernels"},
    "trainers": {"trainers", "models", "kernels"},
    "rewards": {"rewards", "models", "kernels"},
    "runtime": {"runtime", "models", "kernels"},
    "datasets": {"datasets", "models", "kernels"},
    "analysis": {"analysis", "models", "kernels"},
    "press": {"press"},
}
_TYPED_VERDICT = re.compile(r"(\*\*|_)(" + "|".join(verdicts.VERDICTS) + r")(\*\*|_)(?!<!--=)", flags=re.IGNORECASE)


def check_book(book: Book) -> list[str]:
    """Every rule over every chapter and over the arrows of `lib`; one line a problem, naming the chapter."""
    problems = arrows(book.root)
    for chapter in book.chapters():
        try:
            found = [line for rule in RULES for line in rule(chapter)]
        except BookError as error:
            found = [str(error)]
        problems += [f"chapter {chapter.number}: {line}" for line in found]
    return problems


def parameters(chapter: Chapter) -> list[str]:
    """One cell of typed, commented parameters with `profile` and `seed`, and the guard line right below."""
    cells = source.code_cells(source.read(chapter))
    cell = source.parameters_cell(source.read(chapter))
    names = declared(cell.source)
    problems = [f"the parameters cell lacks {name!r}" for name in ("profile", "seed") if name not in names]
    problems += [
        f"parameter {n!r}: its default does not fit its type" for n, (kind, v) in names.items() if not fits(v, kind)
    ]
    for node in ast.parse(cell.source).body:
        if not isinstance(node, ast.AnnAssign):
            problems.append(f"the parameters cell holds {ast.unparse(node)!r}, which is no typed assignment")
    problems += [f"parameter line without a comment: {line}" for line in cell.source.splitlines() if "#" not in line]
    below = cells[[c.source for c in cells].index(cell.source) + 1 :]
    if not below or f'run.check_parameters("{chapter.number}")' != below[0].source.strip():
        problems.append(f'the cell below the parameters must be run.check_parameters("{chapter.number}")')
    return problems


def profiles(chapter: Chapter) -> list[str]:
    """The smoke and full parameters files exist, are typed, and name their profile for plain papermill."""
    problems = []
    for profile in ("smoke", "full"):
        run.values_for(chapter, profile)
        file = chapter.parameters(profile)
        if (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("profile") != profile:
            problems.append(f"chapters/params/{file.name} must say profile: {profile}")
    return problems


def cells(chapter: Chapter) -> list[str]:
    """Short cells without magics, installs, bars, widgets, absolute paths or timings; one tagged figure a cell."""
    problems = []
    for index, cell in enumerate(source.code_cells(source.read(chapter)), 1):
        lines = cell.source.splitlines()
        if len(lines) > MAX_LINES:
            problems.append(f"code cell {index} has {len(lines)} lines; at most {MAX_LINES}")
        for pattern, what in FORBIDDEN.items():
            if re.search(pattern, cell.source, flags=re.MULTILINE):
                problems.append(f"code cell {index} holds {what}")
        problems += [f"code cell {index} {problem}" for problem in _tree_problems(cell)]
    return problems


def _tree_problems(cell: Any) -> list[str]:
    try:
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        return [f"is not plain Python: {error.msg}"]
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION:
            problems.append(f"defines {node.name}, longer than {MAX_FUNCTION} lines; move it to lib")
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    figures, draws = called.count("figures.show"), bool(source.tags(cell) & source.DRAWS)
    if figures > 1:
        problems.append(f"shows {figures} figures; one a cell")
    if figures and "figure" not in source.tags(cell):
        problems.append("shows a figure but lacks the tag figure")
    if draws and "ledger.record" in called:
        problems.append("is tagged as drawing but records a value; record it in a computing cell")
    return problems


def notebook(chapter: Chapter) -> list[str]:
    """The notebook is the source, executed: same cells in the same order, all run, no errors, figures with alt text."""
    if not chapter.notebook.exists():
        return ["it has no notebook; `make book` builds it"]
    built, text = results.load(chapter.notebook), source.read(chapter)
    if [(c["id"], "".join(c["source"])) for c in built["cells"]] != [(c.id, c.source) for c in text.cells]:
        return [f"{chapter.notebook.name} is not what {chapter.source.name} says; edit the source, then `make book`"]
    problems = []
    for index, cell in enumerate([c for c in built["cells"] if c["cell_type"] == "code"], 1):
        if cell["execution_count"] != index:
            problems.append(f"code cell {index} was not executed")
        for output in cell["outputs"]:
            problems += [f"code cell {index}: {problem}" for problem in _output_problems(cell, output)]
    return problems


def _output_problems(cell: dict[str, Any], output: dict[str, Any]) -> list[str]:
    problems = []
    if output["output_type"] == "error":
        problems.append(f"ends in {output['ename']}")
    if output.get("name") == "stderr":
        problems.append(f"writes to standard error: {''.join(output['text'])[:80]!r}")
    if "image/png" in output.get("data", {}):
        alt = alt_text(output)
        if not alt:
            problems.append(f"shows a picture whose text does not begin with {FIGURE!r}; use figures.show")
        elif cell["metadata"].get("mystnb", {}).get("image", {}).get("alt") != alt:
            problems.append("has no alt text in its metadata, or another than its figure's")
    return problems


def fresh(chapter: Chapter) -> list[str]:
    """The notebook and its results were made by what is here today."""
    reasons = build.why_stale(chapter)
    return [f"stale, because of {', '.join(reasons)}; `make book` brings it up to date"] if reasons else []


def not_empty(chapter: Chapter) -> list[str]:
    """The chapter records values, draws, has claims, and every claim's key is recorded or waits for a full run."""
    on_record = results.load(chapter.results("teach")) or {"values": {}, "series": {}}
    problems = [f"it records no {what}" for what in ("values", "series") if not on_record[what]]
    full = results.load(chapter.results("full")) or {"values": {}}
    for claim in claims.read(chapter):
        if claim.profile == "teach" and claim.key not in on_record["values"].keys() | full["values"].keys():
            problems.append(
                f"claim {claim.id}: key {claim.key!r} is never recorded; record it, or give it profile: full"
            )
    return problems


def numbers(chapter: Chapter) -> list[str]:
    """Tied numbers are today's, and no other decimal stands in the prose but those that the post reports."""
    text = chapter.source.read_text(encoding="utf-8")
    problems = [f"number in prose: {line}; `make book` rewrites it" for line in prose.stale(text, chapter)]
    reported = {number for claim in claims.read(chapter) for number in _numbers(claim.reported)}
    problems += [
        f"number {n} in prose is tied to no result; write {n}<!--= key -->" for n in prose.untied(text, reported)
    ]
    return problems


def _numbers(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {number for item in value.values() for number in _numbers(item)}
    if isinstance(value, list):
        return {number for item in value for number in _numbers(item)}
    return {str(value)}


def verdicts_computed(chapter: Chapter) -> list[str]:
    """No verdict is typed: the notebook's ledger rows are those computed from what is on record."""
    problems = []
    for cell in source.read(chapter).cells:
        if cell.cell_type == "markdown" and _TYPED_VERDICT.search(cell.source):
            typed = _TYPED_VERDICT.search(cell.source)[2]
            problems.append(f"the verdict {typed!r} is typed; tie it: {typed}<!--= verdict:CLAIM -->")
    if not chapter.notebook.exists():
        return problems
    computed = {f"{v.verdict:<24} {v.id}: {v.evidence}" for v in verdicts.chapter_verdicts(chapter)}
    shown = [line for line in _ledger_lines(results.load(chapter.notebook)) if line not in computed]
    return problems + [f"the ledger shows {line[:90]!r}, which is not what is computed" for line in shown]


def _ledger_lines(built: dict[str, Any]) -> list[str]:
    texts = [
        "".join(output["data"]["text/plain"])
        for cell in built["cells"]
        for output in cell.get("outputs", [])
        if 'class="claims"' in "".join(output.get("data", {}).get("text/html", ""))
    ]
    return [line for text in texts for line in text.splitlines()]


def arrows(root: Path) -> list[str]:
    """Imports inside `lib` go one way only (ROOMS), and no file of `lib` names a chapter number in its code."""
    problems = []
    for path in sorted((root / "lib").rglob("*.py")):
        room = path.relative_to(root / "lib").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            for name in _imported(node):
                target = name.split(".")[1] if name.startswith("lib.") and name.count(".") else None
                if room in ROOMS and target in ROOMS and target not in ROOMS[room]:
                    problems.append(f"{path.relative_to(root).as_posix()}: lib.{room} must not import lib.{target}")
    return problems


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


RULES = (parameters, profiles, cells, notebook, fresh, not_empty, numbers, verdicts_computed)
