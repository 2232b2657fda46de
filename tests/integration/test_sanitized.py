"""The compiled fast lane with gcc's sanitizers: no octet is read or written that is not its own.

It is built anew, in a copy of the source, and the tests that are its own are run on that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = "-O1 -g -Werror -fno-omit-frame-pointer -fsanitize=address,undefined"
# Python keeps memory to itself that ends with it, which is not ours to judge.
ENVIRON = {
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# What comes from the network reaches C here.
TESTS = (
    "tests/core/test_hot.py", "tests/net/fast", "tests/net/test_known.py",
    "tests/net/test_twins.py", "tests/net/test_udp.py",
)  # fmt: skip


def runtime(library: str) -> str:
    found = subprocess.run(
        ["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.fixture(scope="module")
def copy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the fast lane built for the sanitizers."""
    source = tmp_path_factory.mktemp("sanitized")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("consulfwd", "tests", "bind-templates", "examples"):
        shutil.copytree(project / name, source / name, symlinks=True, ignore=ignored)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project / name, source)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environ = {**os.environ, "CFLAGS": FLAGS}
    done = subprocess.run(
        command, cwd=source, env=environ, capture_output=True, text=True, check=False
    )
    assert list((source / "consulfwd" / "net").glob("_fast*.so")), done.stderr
    return source


def run(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    preloaded = " ".join(runtime(one) for one in ("libasan.so", "libubsan.so"))
    environ = {**os.environ, **ENVIRON, "PYTHONPATH": str(source), "LD_PRELOAD": preloaded}
    return subprocess.run(
        [sys.executable, *words],
        cwd=source,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_sanitizers_see_a_fault(copy: Path) -> None:
    fault = "import ctypes; ctypes.string_at(ctypes.create_string_buffer(8), 1 << 20)"
    done = run(copy, "-c", f"import consulfwd.net._fast; {fault}")
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr


def test_what_is_its_own_to_test(copy: Path) -> None:
    # The twin in Python shows nothing of it.
    how = ("-q", "-p", "no:cacheprovider", "-n", "0", "-k", "not python")
    done = run(copy, "-m", "pytest", *how, *TESTS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
