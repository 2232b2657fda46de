"""A file that is mounted, as resolv.conf is in containers: nothing can be renamed over it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.apply.places import kept_of, mark_of

# In namespaces of its own, which any user may have: a file of another file system is mounted over
# the place, a program is run, and what stands there then is printed.
MOUNT = """
mount -t tmpfs none "$1" && cp "$2" "$1/file" && mount --bind "$1/file" "$2" || exit 99
[ "$3" = rw ] || mount -o remount,bind,ro "$2" || exit 99
place=$2; shift 3; "$@"; code=$?; cat "$place"; exit $code
"""
PROGRAM = """
import sys
from pathlib import Path
from consulfwd.apply.jobs import File, Job
from consulfwd.apply.steps import apply
place, text, reload = sys.argv[1:]
print(*apply(Job((File(Path(place), text),), reload=(("/bin/sh", "-c", reload),))).backups)
"""
# The same, after another one was killed while it wrote.
KILLED = f"""
import os, sys
from consulfwd.apply import files
if not os.fork():
    # A mark is cut to nothing, before.
    cut = os.ftruncate
    files.os.ftruncate = lambda file, size: os.kill(os.getpid(), 9) if size else cut(file, size)
    sys.argv[3] = "true"
else:
    os.wait()
{PROGRAM}
"""
OLD, NEW = "nameserver 192.0.2.1\nsearch example.test\n", "nameserver 127.0.0.1\n"


class Ended(NamedTuple):
    """How it ended: exit code, what was printed, what stands in the place, the last error."""

    code: int
    printed: str
    stands: str
    error: str


class Mounted:
    """A place with a file mounted over it."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.place = folder / "etc" / "resolv.conf"
        self.place.parent.mkdir()
        self.place.write_text(OLD)
        self._tmpfs = folder / "mounted"
        self._tmpfs.mkdir()
        self._project = project

    def apply(
        self, reload: str, how: str = "rw", text: str = NEW, program: str = PROGRAM
    ) -> Ended:
        words = [sys.executable, "-c", program, str(self.place), text, reload]
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh",
             str(self._tmpfs), str(self.place), how, *words],
            cwd=self._project, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode != 99, done.stderr
        printed, _, stands = done.stdout.partition("\n") if done.returncode == 0 else (
            "", "", done.stdout
        )  # fmt: skip
        return Ended(done.returncode, printed, stands, done.stderr)

    def beside(self) -> set[str]:
        return {path.name for path in self.place.parent.iterdir()}


@pytest.fixture
def mounted(tmp_path: Path, project: Path) -> Mounted:
    return Mounted(tmp_path, project)


@pytest.mark.parametrize("text", [NEW, OLD + "# and more\n"], ids=["shorter", "longer"])
def test_it_is_written_in_place(mounted: Mounted, text: str) -> None:
    ended = mounted.apply("true", text=text)
    assert ended == (0, f"{mounted.place}.bak", text, "")
    # What is below the mount is not what was written to.
    assert mounted.place.read_text() == OLD
    assert Path(f"{mounted.place}.bak").read_text() == OLD
    assert mounted.beside() == {"resolv.conf", "resolv.conf.bak"}


def test_what_stood_there_is_written_back(mounted: Mounted) -> None:
    ended = mounted.apply(f"grep -q search {mounted.place}")
    assert (ended.code, ended.stands) == (1, OLD)
    assert "rolled back, what stood there before is in force again" in ended.error
    assert "ROLL BACK FAILED" not in ended.error
    assert mounted.beside() == {"resolv.conf"}


def test_one_that_cannot_be_written_is_left_alone(mounted: Mounted) -> None:
    ended = mounted.apply("true", how="ro")
    assert (ended.code, ended.stands) == (1, OLD)
    assert "the file system is read-only" in ended.error
    assert "ROLL BACK FAILED" not in ended.error
    assert mounted.beside() == {"resolv.conf"}


def test_one_that_is_killed_meanwhile_is_told_again(mounted: Mounted) -> None:
    ended = mounted.apply("kill -KILL $PPID")
    assert (ended.code, ended.stands) == (137, NEW)
    assert kept_of(mounted.place).read_text() == OLD
    assert mark_of(mounted.place).exists()


@pytest.mark.parametrize("good", [True, False])
def test_what_one_that_was_killed_wrote_a_part_of_is_no_way_back(
    mounted: Mounted, good: bool
) -> None:
    # The end of the old text behind the new one: it stands for nothing.
    ended = mounted.apply("true" if good else "false", program=KILLED)
    assert (ended.code, ended.stands) == ((0, NEW) if good else (1, OLD))
    assert "ROLL BACK FAILED to put" not in ended.error
    backups = {"resolv.conf.bak"} if good else set()
    assert mounted.beside() == {"resolv.conf"} | backups
    if good:
        assert Path(f"{mounted.place}.bak").read_text() == OLD
