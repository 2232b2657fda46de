"""The programs a run needs: found on this machine, or named in one clear error.

What belongs here: looking up and asking for versions, compiling the C helpers. What does not:
installing anything (scripts do), starting servers.
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
# Built from source: what Debian does not have.
INSTALL_OTHERS = {"coredns": "scripts/install-coredns"}
SOURCES = Path(__file__).parent


def find(program: str) -> str | None:
    """Absolute path of a program, None when it is not there.

    What scripts/install-coredns built comes before PATH and the sbin directories, which users
    often lack.
    """
    if program in INSTALL_OTHERS:
        built = list(built_folder(program).glob(f"*/{program}"))
        if built:
            return str(max(built, key=lambda path: _numbers(path.parent.name)))
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")


def built_folder(program: str) -> Path:
    """Where scripts/install-`program` puts <version>/`program`."""
    chosen = os.environ.get(f"CONSULFWD_{program.upper()}_DIR")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "consulfwd" / program


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def require(programs: Iterable[str], hint: str = "") -> None:
    """Raise StartError with every program of `programs` that is not installed."""
    missing = sorted({program for program in programs if find(program) is None})
    if missing:
        scripts = dict.fromkeys(INSTALL_OTHERS.get(program, INSTALL) for program in missing)
        raise StartError(
            f"not installed: {', '.join(missing)}; run {' and '.join(scripts)}"
            + (f", or {hint}" if hint else "")
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
