"""scripts/scratch-in-memory: a folder in memory for what tests write, or why there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path("scripts", "scratch-in-memory")


def scratch(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the script says, and how it ends."""
    command = [str(project / SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_of_our_own_or_why_there_is_none(project: Path) -> None:
    done = scratch(project, "1")
    if done.returncode:
        assert done.stdout == ""
        assert done.stderr.startswith("scratch-in-memory: ")
        return
    assert done.stderr == ""
    made = Path(done.stdout.removesuffix("\n"))
    try:
        assert made.stat().st_mode & 0o777 == 0o700
        assert list(made.iterdir()) == []
        # What is in it is not written anywhere.
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        assert [str(made.parent), "tmpfs"] in mounts
    finally:
        shutil.rmtree(made)


def test_there_must_be_room(project: Path) -> None:
    done = scratch(project, "999999999")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not for 999999999" in done.stderr or "may be written" in done.stderr
