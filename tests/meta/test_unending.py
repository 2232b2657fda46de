"""A failure is a failure at once, whatever goes on in threads when it comes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FAILS = """
import asyncio
import threading
import time

from tests import unending

unending.LOOP_S = unending.RUN_S = 0.1


async def test_that_fails_while_somebody_reads_on():
    reading = asyncio.create_task(asyncio.to_thread(time.sleep, 60))
    await asyncio.sleep(0)
    assert not reading


def test_that_leaves_a_thread():
    threading.Thread(target=time.sleep, args=(60,), name="left alone").start()


async def test_that_comes_after():
    assert await asyncio.to_thread(str, 1) == "1"
"""


def test_a_run_ends_whatever_its_tests_leave(project: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((project / "tests" / "conftest.py").read_text())
    (tmp_path / "test_left.py").write_text(FAILS)
    began = time.monotonic()
    run = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c",
            project / "setup.cfg", "--rootdir", project, tmp_path,
        ],
        cwd=project, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert time.monotonic() - began < 40
    assert "1 failed, 2 passed" in run.stdout, run.stdout
    assert "left alone does not end:" in run.stderr
    assert run.returncode == 1
