"""C source to a loaded library with the system's own compiler: no build tool, no package, no compiler, no harm.

A library is built at first use and kept in the user's cache folder under a hash of everything that shapes it: the
source, the macros, the compiler and the processor. Nothing built for another machine is ever loaded.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from lib.errors import BookError

FLAGS = ("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC")
TIMEOUT_S = 120


@functools.cache
def load(source: str, macros: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Compile C source and load it.

    source: the text of one C file. macros: definitions such as "REAL=float".
    Raises BookError when there is no compiler or it refuses the source; the message says which.
    """
    compiler = find_compiler()
    command = [compiler, *FLAGS, *(f"-D{macro}" for macro in macros)]
    facts = [source, *command, _first_line([compiler, "--version"]), processor()]
    name = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32] + ".so"
    path = cache_folder() / name
    if path.exists():
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            path.unlink()  # a damaged file: build it again
    _build(command, source, path)
    return ctypes.CDLL(str(path))


def find_compiler() -> str:
    """The C compiler: what the environment variable CC names, else `cc`. Raises BookError when there is none."""
    wanted = os.environ.get("CC") or "cc"
    found = shutil.which(wanted)
    if found is None:
        raise BookError(f"no C compiler: {wanted!r} is not on the PATH; install one or set CC")
    return found


def processor() -> str:
    """What this processor can do: its feature flags where the system tells, else its name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    except OSError:
        pass
    return f"{platform.machine()} {platform.processor()}"


def cache_folder() -> Path:
    """The user's own folder for built libraries; a fresh private one when that cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "measured-claims" / "native"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        if mine and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _private_folder()


@functools.cache
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="measured-claims-"))


def _build(command: list[str], source: str, path: Path) -> None:
    """Compile to a name of its own beside `path`, then rename: no other process ever sees half a library."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        code, made = Path(folder) / "source.c", Path(folder) / "made.so"
        code.write_text(source)
        try:
            run = subprocess.run(
                [*command, str(code), "-o", str(made)], capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BookError(f"the C compiler {command[0]} did not run: {error}; set CC to another") from error
        if run.returncode != 0:
            first = next((line for line in run.stderr.splitlines() if "error" in line), run.stderr.strip()[:200])
            raise BookError(f"the C compiler {command[0]} refused the kernel: {first}; set CC to another")
        os.replace(made, path)


def _first_line(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return run.stdout.partition("\n")[0]
