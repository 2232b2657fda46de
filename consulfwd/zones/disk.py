"""One document of a zone on this host's disk: the old one or the new one, and nobody else's.

What belongs here: where it is, reading and replacing it. Must not know what is in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from consulfwd.errors import ApplyError

FOLDER = Path("/var/lib/consulfwd")
_MODE = 0o600


def state_folder(environ: Mapping[str, str], configured: Path | None = None) -> Path:
    """Return where what must survive is kept: as configured, or where systemd says (the first)."""
    if configured is not None:
        return configured
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else FOLDER


def name_of(origin: str, view: str | None = None) -> str:
    """Return the name of a zone's files, without what they end in."""
    parts = [origin, view] if view else [origin]
    return "zone-" + "@".join(quote(one, safe=" ") for one in parts)


def hand_over(file: int, folder: Path) -> None:
    """Have a file, given as its descriptor, be that user's whose folder it is in.

    What root does by hand in the folder of a service, that service must be able to read.
    """
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)


def have_folder(path: Path) -> None:
    """Make a folder in that of a service, if it is not there: that user's, in the same way."""
    if path.is_dir():
        return
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    at = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        hand_over(at, path.parent)
    finally:
        os.close(at)


def only_one(path: Path) -> int:
    """Return what keeps others off until it is closed (`os.close`), also of one that is killed.

    Raises BlockingIOError where another process has it, and OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(path, flags, _MODE)
    try:
        if os.fstat(at).st_nlink > 1:
            # Root would give somebody else's file to the user of the service.
            raise OSError(errno.EMLINK, "it is a hard link", str(path))
        hand_over(at, path.parent)
        fcntl.flock(at, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(at)
        raise
    return at


class Document:
    """A file that is replaced as a whole and read by its owner alone. All may raise ApplyError."""

    def __init__(self, path: Path, largest: int) -> None:
        self.path = path
        self._largest = largest

    def load(self) -> bytes | None:
        """Return what it holds, None if there is none."""
        try:
            at = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault("cannot be read", error) from None
        if not stat.S_ISREG(os.fstat(at).st_mode):
            os.close(at)
            raise ApplyError(str(self.path), "is no file", "take away what is there")
        with os.fdopen(at, "rb") as file:
            try:
                data = file.read(self._largest + 1)
            except OSError as error:
                raise self._fault("cannot be read", error) from None
        if len(data) > self._largest:
            what = f"is larger than {self._largest} octets"
            raise ApplyError(str(self.path), what, "it is not ours: remove it")
        return data

    def save(self, data: bytes) -> None:
        """Have it hold this, also after the power was cut: or what it held before."""
        made = self.path.with_name(f".{self.path.name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                made.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(made, flags, _MODE), "wb") as file:
                hand_over(file.fileno(), self.path.parent)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            made.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                made.unlink()
            raise self._fault("cannot be written", error) from None

    def remove(self) -> None:
        """Have there be none."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._fault("cannot be removed", error) from None

    def _fault(self, what: str, error: OSError) -> ApplyError:
        why = (error.strerror or str(error)).lower()
        mend = "see to the directory: STATE_DIRECTORY, or StateDirectory= of the unit"
        return ApplyError(str(self.path), f"{what}: {why}", mend)
