"""The command line: python -m lib.press build|check|run|sweep|full-status|prepare|site|spread (make calls it)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import yaml

from lib.errors import BookError
from lib.press.paths import PROFILES, Book


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; bad input prints one line and gives exit code 2."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("papermill", "traitlets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return options.command(Book.current(), options)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _build(book: Book, options: argparse.Namespace) -> int:
    from lib.press import build

    chapters = [book.chapter(number) for number in options.chapters] or book.chapters()
    for chapter in chapters:
        if options.force or build.why_stale(chapter):
            logging.info("chapter %s: building", chapter.number)
            build.build(chapter)
        else:
            logging.info("chapter %s: up to date", chapter.number)
    return 0


def _check(book: Book, options: argparse.Namespace) -> int:
    from lib.press import guards

    problems = guards.check_book(book)
    print("\n".join(problems) if problems else f"{len(book.chapters())} chapters checked, nothing to mend")
    return 1 if problems else 0


def _run(book: Book, options: argparse.Namespace) -> int:
    from lib.press import run

    pairs = [text.partition("=") for text in options.set]
    bad = [name for name, equals, _ in pairs if not equals]
    if bad:
        raise BookError(f"--set {bad[0]!r} is not NAME=VALUE")
    overrides = {name: yaml.safe_load(value) for name, _, value in pairs}
    written = run.execute(book.chapter(options.chapter), options.profile, overrides, options.script)
    print(f"results in {written}")
    return 0


def _sweep(book: Book, options: argparse.Namespace) -> int:
    from lib.press import sweep

    asked = sweep.read(book, Path(options.file))
    failures = sweep.carry_out(asked, options.scheduler, options.workers)
    told = [f"failed {line}" for line in failures] or [f"{len(asked.cells)} cells in {asked.table}"]
    print("\n".join(told))
    return 1 if failures else 0


def _full_status(book: Book, options: argparse.Namespace) -> int:
    from lib.press import full_runs

    print("\n".join(full_runs.status(book)))
    return 0


def _site(book: Book, options: argparse.Namespace) -> int:
    from lib.press import site

    print(f"open {site.build(book, epub=options.epub)}")
    return 0


def _prepare(book: Book, options: argparse.Namespace) -> int:
    from lib.press import prepare

    print("\n".join(str(path) for path in prepare.prepare(book.chapter(options.chapter))))
    return 0


def _spread(book: Book, options: argparse.Namespace) -> int:
    from lib.press import spread

    print("\n".join(spread.measure(book.chapter(options.chapter))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib.press", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    build = commands.add_parser("build", help="bring chapters up to date (all, or those named)")
    build.add_argument("chapters", nargs="*", metavar="NN")
    build.add_argument("--force", action="store_true", help="build even what is up to date")
    build.set_defaults(command=_build)

    check = commands.add_parser("check", help="hold every chapter against the guards")
    check.set_defaults(command=_check)

    run = commands.add_parser("run", help="run one chapter at a profile")
    run.add_argument("chapter", metavar="NN")
    run.add_argument("--profile", default="teach", choices=PROFILES)
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another value for a parameter")
    run.add_argument("--script", action="store_true", help="in one plain process, without Jupyter")
    run.set_defaults(command=_run)

    sweep = commands.add_parser("sweep", help="run what is missing of a grid and put its table on record")
    sweep.add_argument("file", metavar="chapters/sweeps/NN_name.yml")
    sweep.add_argument("--scheduler", help="address of a Dask scheduler; without it a local cluster is started")
    sweep.add_argument("--workers", type=int, default=1, help="cells at a time on the local cluster")
    sweep.set_defaults(command=_sweep)

    status = commands.add_parser("full-status", help="which full runs are on record, changed since, or waiting")
    status.set_defaults(command=_full_status)

    site = commands.add_parser("site", help="build the site from the chapters as they are")
    site.add_argument("--epub", action="store_true", help="the EPUB instead")
    site.set_defaults(command=_site)

    prepare = commands.add_parser("prepare", help="remake a chapter's prepared files from what ships")
    prepare.add_argument("chapter", metavar="NN")
    prepare.set_defaults(command=_prepare)

    spread = commands.add_parser("spread", help="measure how far a chapter's values move between instruction sets")
    spread.add_argument("chapter", metavar="NN")
    spread.set_defaults(command=_spread)
    return parser


if __name__ == "__main__":
    sys.exit(main())
