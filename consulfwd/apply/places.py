"""Where a file is, what stands there, and the faults of file systems in plain words.

What belongs here: paths, links, what is beside a file. Must not change anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from consulfwd.errors import ApplyError

# What is done where a path is a link into another directory.
Links = Literal["refuse", "follow", "replace"]

# Directories of which servers read every file but hidden ones and those ending in a tilde.
READ_WHOLE = {"dnsmasq.d", "resolver"}
# Those of which servers (nginx) read every file but hidden ones.
READ_BUT_HIDDEN = {"sites-enabled"}

_DENIED = ("permission denied", "run it as root, or as the owner of the file and its directory")
_FULL = ("no space left on the file system", "make room; the old file stands")
_FAULTS = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the file system is read-only", "mount it writable, or name another place"),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ELOOP: ("symbolic links lead in a circle", "remove them, or name the file itself"),
    errno.ENOTDIR: ("the path leads through something that is no directory", "name another place"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "name another place"),
    errno.EBUSY: ("the system holds it, as a mount or a swap file", "name another place"),
}


def fault(path: Path, error: OSError) -> ApplyError:
    """Return what the system's error means for whoever wants `path` written."""
    what, mend = _FAULTS.get(error.errno or 0, (error.strerror or str(error), ""))
    return ApplyError(str(path), what, mend)


@contextlib.contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Have the system's errors come out as ApplyErrors of `path`."""
    try:
        yield
    except OSError as error:
        raise fault(path, error) from error


def target_of(path: Path, links: Links = "follow") -> Path:
    """Return the file that is replaced, made absolute. Raises ApplyError.

    A link within one directory is followed. One that leads into another is what `links` says: to
    "replace" it makes it the file that is replaced. Links among the directories on the way to it
    are always followed.
    """
    with faults_of(path):
        try:
            own = path.parent.resolve() / path.name
            target = path.resolve()
        except RuntimeError as error:  # Python before 3.13 says so of a circle
            raise OSError(errno.ELOOP, "") from error
        if target.is_symlink():  # and later ones so
            raise OSError(errno.ELOOP, "")
        elsewhere = target.parent != own.parent and own.is_symlink()
    if not elsewhere or links == "follow":
        return target
    if links == "replace":
        return own
    raise ApplyError(
        str(path),
        f"a link to {target}, which may be another program's: nothing is written through it",
        "name that file; or --links follow writes it, --links replace has a file where the link is",
    )


def led_to(path: Path) -> Path:
    """Return where a path leads, links followed, whether anything is there or not."""
    return Path(os.path.realpath(path))


def installed(path: Path, most: int = -1) -> bytes | None:
    """Return what stands at `path`, of more than `most` octets one more; None if nothing does.

    Raises ApplyError.
    """
    target = target_of(path)
    with faults_of(path):
        if standing(path, target) is None:
            return None
        with target.open("rb") as file:
            return file.read(most + 1 if most >= 0 else -1)


def backup_of(target: Path) -> Path:
    """Return where the backup of a file is: NAME.bak beside it, unless that would be read there.

    Then it is NAME~, or .NAME.bak.
    """
    if target.parent.name in READ_BUT_HIDDEN:
        return target.with_name(f".{target.name}.bak")
    suffix = "~" if target.parent.name in READ_WHOLE else ".bak"
    return target.with_name(target.name + suffix)


def unfinished(target: Path) -> bool:
    """Return whether a replacement is at work, or one was killed, or left before it was done."""
    return os.path.lexists(mark_of(target))


def candidate_of(target: Path) -> Path:
    """Return where the file is made that is to replace it."""
    # The name stays at the end: some checkers tell a file's format by it.
    return target.with_name(f".consulfwd-new.{target.name}")


def mark_of(target: Path) -> Path:
    """Return the file that is there while a replacement is not done: its lock, too."""
    return _lasting(target, "lock")


def kept_of(target: Path) -> Path:
    """Return where the old file is while there may be a way back to it."""
    return _lasting(target, "old")


def _lasting(target: Path, what: str) -> Path:
    # What may stay for long has another ending, as some servers read hidden files of theirs, too.
    return target.with_name(f".{target.name}.consulfwd-{what}")


def standing(path: Path, target: Path) -> os.stat_result | None:
    """Return the state of the file at `target`, None if there is none. Raises ApplyError.

    A link there is one that is to be replaced, and no file.
    """
    if target.is_symlink():
        return None
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ApplyError(str(path), "not a regular file", "name a file, or a place for a new one")
    return found
