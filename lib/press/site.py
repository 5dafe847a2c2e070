"""The site: the generated pages and the Jupyter Book around them, with every warning an error.

Execution is off: chapters come executed, from `lib.press.build`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from lib.errors import BookError
from lib.press import pages
from lib.press.files import write_whole
from lib.press.paths import Book

_WARNING = re.compile(r"^.*\b(?:WARNING|ERROR|CRITICAL|SEVERE): .*$|^\w+ error\b.*:\n.*$", flags=re.MULTILINE)
_PUNCTUATION = re.compile(r'<span class="p">([^<]*)</span>')
_JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]


def build(book: Book, epub: bool = False, repository: str | None = None) -> Path:
    """Build the site, or with `epub` the EPUB, and return the file to open.

    repository: the public address of the project (the environment variable REPO where it is not given). Only then do
    pages carry buttons that lead to it. Raises BookError that names the first warning: none is let through.
    """
    pages.generate(book)
    builder, out = ("epub", book.root / "_build" / "epub") if epub else ("html", book.root / "_build" / "html")
    shutil.rmtree(out, ignore_errors=True)  # no page of an earlier book survives
    flags = ["--builder", "custom", "--custom-builder", "epub"] if epub else ["--builder", "html"]
    config = _configuration(book, epub, repository or os.environ.get("REPO"))
    command = [*_JUPYTER_BOOK, "build", str(book.root), "-n", "-W", "--keep-going", "--config", str(config), *flags]
    done = subprocess.run(command, cwd=book.root, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    found = sorted(out.glob("*.epub")) if epub else [path for path in [out / "index.html"] if path.is_file()]
    if done.returncode or not found:
        shutil.rmtree(book.root / "_build" / ".doctrees", ignore_errors=True)  # else the next build would keep quiet
        raise BookError(f"the {builder} build stopped: {_first_warning(done.stdout + done.stderr, book.root)}")
    if not epub:
        for page in out.rglob("*.html"):
            write_whole(page, _lighter(page.read_text(encoding="utf-8")))
    return found[0]


def _lighter(html: str) -> str:
    """A page without the marks around punctuation in code: its colour is that of the code around it anyway."""
    return _PUNCTUATION.sub(r"\1", html)


def _first_warning(log: str, root: Path) -> str:
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)  # Jupyter Book colours its output even where nobody sees it
    match = _WARNING.search(log)
    first = match[0] if match else next(iter(log.strip().splitlines()[-1:]), "it said nothing")
    return " ".join(first.replace(f"{root}{os.sep}", "").split())


def _configuration(book: Book, epub: bool, repository: str | None) -> Path:
    """`_config.yml`, or the copy of it in `_build/` that this build needs."""
    original = book.root / "_config.yml"
    if not epub and not repository:
        return original
    settings = yaml.safe_load(original.read_text(encoding="utf-8"))
    sphinx = settings["sphinx"]["config"]
    if epub:  # its readers run no scripts and bring their own fonts
        settings["sphinx"]["local_extensions"] = {"epub_parts": str(book.root / "book" / "_ext")}
        sphinx["extensions"].append("epub_parts")
        sphinx |= {"html_math_renderer": "mathml", "html_static_path": ["book/_epub"], "html_css_files": []}
    else:
        sphinx["html_theme_options"] |= {
            "repository_url": repository,
            "repository_branch": "main",
            "use_repository_button": True,
            "use_issues_button": True,
            "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        }
    derived = book.root / "_build" / ("config.epub.yml" if epub else "config.repository.yml")
    write_whole(derived, yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
    return derived
