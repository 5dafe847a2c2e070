"""Run the bench: `python -m tests.bench [--only G1,G2]`. Exit code 1 when a figure misses its bar, 2 for a bad call."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import torch

from tests.bench.measure import limits


def groups() -> dict[str, str]:
    """Group name -> module, from the files gN_name.py beside this one, in order of N."""
    found = (path.stem for path in Path(__file__).parent.glob("g[0-9]*_*.py"))
    ordered = sorted(found, key=lambda stem: int(stem.partition("_")[0][1:]))
    return {stem.partition("_")[0].upper(): f"tests.bench.{stem}" for stem in ordered}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", help="groups, separated by commas, such as G1,G3; all if left out")
    wanted = [name.strip().upper() for name in parser.parse_args(arguments).only.split(",") if name.strip()]
    known = groups()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"error: no group {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    print(limits(), flush=True)
    missed = total = 0
    for name in wanted or known:
        for row in importlib.import_module(known[name]).rows():
            print(row, flush=True)
            missed += row.below
            total += 1
    print(f"{missed} of {total} rows below their bar")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
