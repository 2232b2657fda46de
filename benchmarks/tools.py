"""The programs a run needs: found on this machine, or named in one clear error.

What belongs here: looking up and asking for versions, compiling the C helpers. What does not:
installing anything (scripts/install-test-tools does), starting servers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from consulfwd.errors import StartError

INSTALL = "scripts/install-test-tools --bench"
SOURCES = Path(__file__).parent


def find(program: str) -> str | None:
    """Absolute path of a program on PATH or in the sbin directories, which users often lack."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")


def require(programs: Iterable[str], hint: str = "") -> None:
    """Raise StartError with every program of `programs` that is not installed."""
    missing = sorted({program for program in programs if find(program) is None})
    if missing:
        raise StartError(
            f"not installed: {', '.join(missing)}; run {INSTALL}" + (f", or {hint}" if hint else "")
        )


def path_of(program: str) -> str:
    """Absolute path of an installed program; StartError when it is not there."""
    require([program])
    found = find(program)
    assert found is not None
    return found


def version_of(command: list[str]) -> str:
    """First version number in what `command` prints, "?" when there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    match = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return match.group() if match else "?"


def compile_c(name: str, directory: Path) -> Path:
    """Build `name`.c of this folder into `directory`; the program's path."""
    program = directory / name
    if not program.exists():
        command = [path_of("cc"), "-O2", "-o", str(program), str(SOURCES / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartError(f"{' '.join(command)} failed:\n{done.stderr}")
    return program
