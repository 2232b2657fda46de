"""One file replaced as a whole: made beside its place, renamed into it, with a way back.

What belongs here: the steps of one file and the faults of file systems in plain words. Which
files, in what order, and who checks and reloads them is in `apply`; must not know that.

All that is made on the way are hidden files beside the place, with names of their own, so that a
server that reads `*.conf` or a whole directory does not take them for its configuration.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from consulfwd.errors import ApplyError

NEW_MODE = 0o644
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
}


def fault(path: Path, error: OSError) -> ApplyError:
    """Return what the system's error means for whoever wants `path` written."""
    what, mend = _FAULTS.get(error.errno or 0, (error.strerror or str(error), ""))
    return ApplyError(str(path), what, mend)


@contextlib.contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise fault(path, error) from error


def target_of(path: Path) -> Path:
    """Return the file that is replaced: where symbolic links lead, else `path`, made absolute."""
    with _faults_of(path):
        try:
            return path.resolve()
        except RuntimeError as error:  # Python before 3.13 says so of a circle
            raise OSError(errno.ELOOP, "") from error


def installed(path: Path) -> bytes | None:
    """Return what stands at `path`; None if nothing does. Raises ApplyError."""
    target = target_of(path)
    with _faults_of(path):
        if _standing(path, target) is None:
            return None
        return target.read_bytes()


def backup_of(path: Path) -> Path:
    """Return where the backup of `path` is: NAME.bak beside it, unless that would be read there.

    Then it is NAME~, or .NAME.bak.
    """
    target = target_of(path)
    if target.parent.name in READ_BUT_HIDDEN:
        return target.with_name(f".{target.name}.bak")
    suffix = "~" if target.parent.name in READ_WHOLE else ".bak"
    return target.with_name(target.name + suffix)


def unfinished(path: Path) -> bool:
    """Return whether a replacement of `path` is at work, or one was killed half-way."""
    return os.path.lexists(_hidden(target_of(path), "lock"))


class Replacement:
    """One file's way to its place. The context holds its lock, and leaves nothing behind.

    First `stage`; then, once `candidate` is found good, `replace`; then either `settle`, which
    makes what stood there the backup, or `put_back`. All raise ApplyError. `path` is as the user
    named it; `target` is what is replaced; `unfinished` says that an earlier replacement was
    killed, so that the file may stand there though nobody was told to read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = target_of(path)
        self.candidate = _hidden(self.target, "new")
        self.unfinished = False
        self._old = _hidden(self.target, "old")
        self._lock_path = _hidden(self.target, "lock")
        self._lock = self._made = -1  # descriptors: of the lock, of the candidate
        self._before: os.stat_result | None = None
        self._same = False  # it stands there already
        self._begun = False  # there is a way back, and it may be needed

    def __enter__(self) -> Replacement:
        folder = self.target.parent
        if not folder.is_dir():
            if folder.exists():
                raise ApplyError(str(self.path), f"{folder} is no directory", "name another place")
            raise ApplyError(
                str(self.path), f"no such directory: {folder}", "make it, or name another place"
            )
        with _faults_of(self.path):
            # Nobody is sent for the rights to write to what is no file.
            _standing(self.path, self.target)
            self._take_lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with contextlib.suppress(OSError):
                self.candidate.unlink(missing_ok=True)
                # What was killed half-way stays known as such until it is settled or put back.
                if not (self._begun or self.unfinished):
                    self._old.unlink(missing_ok=True)
                    self._lock_path.unlink(missing_ok=True)
        finally:
            os.close(self._lock)
            if self._made != -1:
                os.close(self._made)

    def stage(self, data: bytes) -> None:
        """Make the candidate: `data`, on disk, with owner and mode of what it will replace.

        Until it is in its place, nobody but its owner can write to it.
        """
        with _faults_of(self.path):
            self._before = before = _standing(self.path, self.target)
            backup = backup_of(self.path)
            if backup.is_dir():
                raise ApplyError(str(backup), "a directory is where the backup goes", "move it")
            self._same = before is not None and self.target.read_bytes() == data
            self._drop_strange()
            if self._old.exists() and not self._same:
                self._old.replace(backup)
            self._made = self._write(self.candidate, data, self._mode() & ~0o022)

    def replace(self) -> None:
        """Put the candidate in the place, keeping aside what stands there."""
        with _faults_of(self.path):
            if self._same:
                # A replacement that was killed got as far as this; what it kept is the way back.
                self._begun = self._old.exists()
                return
            if self._before is not None:
                self._keep()
            self._begun = True
            # Whoever may write to the directory may have put something else there meanwhile, such
            # as a link to a file that is to be neither opened to all nor read.
            if not os.path.samestat(os.fstat(self._made), self.candidate.lstat()):
                what = "its candidate was replaced by somebody else"
                raise ApplyError(str(self.path), what, "see who may write to the directory")
            os.fchmod(self._made, self._mode())
            self.candidate.replace(self.target)
            self._sync_folder()

    def put_back(self) -> None:
        """Let what stood there stand there again, to the byte; nothing, where nothing did."""
        self.unfinished = False
        if not self._begun:
            return
        with _faults_of(self.path):
            if self._before is None:
                self.target.unlink(missing_ok=True)
            else:
                self._old.replace(self.target)
            self._sync_folder()
        # Renaming does nothing where both are the same file: nothing had been replaced.
        self._begun = False

    def settle(self) -> Path | None:
        """Make what stood there the backup. Returns where that is; None if nothing stood there."""
        begun, self._begun, self.unfinished = self._begun, False, False
        if not begun or self._before is None:
            return None
        backup = backup_of(self.path)
        try:
            self._old.replace(backup)
            self._sync_folder()
        except OSError:
            # The new file is in force and good: too late for a way back.
            return None
        return backup

    def _mode(self) -> int:
        return NEW_MODE if self._before is None else stat.S_IMODE(self._before.st_mode)

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        while True:
            self.unfinished = os.path.lexists(self._lock_path)
            self._lock = os.open(self._lock_path, flags, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have removed it meanwhile: then it locks nothing.
                if os.path.samestat(os.fstat(self._lock), self._lock_path.stat()):
                    return
            except FileNotFoundError:
                pass
            except BlockingIOError:
                os.close(self._lock)
                raise ApplyError(
                    str(self.path),
                    "another consulfwd is writing this file",
                    "wait until it is done; if it runs with --watch, leave the file to it",
                ) from None
            except BaseException:
                os.close(self._lock)
                raise
            os.close(self._lock)

    def _drop_strange(self) -> None:
        """Remove what is called like the old file, but was not left by one that was killed."""
        with contextlib.suppress(FileNotFoundError):
            kept = self._old.lstat()
            owner = os.geteuid() if self._before is None else self._before.st_uid
            if not stat.S_ISREG(kept.st_mode) or kept.st_uid != owner:
                self._old.unlink()

    def _keep(self) -> None:
        """Keep what stands there under a second name; copied where links are not allowed."""
        try:
            os.link(self.target, self._old)
        except OSError:
            os.close(self._write(self._old, self.target.read_bytes(), self._mode()))

    def _write(self, path: Path, data: bytes, mode: int) -> int:
        """Make a file with these octets, on disk; return a descriptor of it."""
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(data)
            if (before := self._before) is not None:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
                with contextlib.suppress(OSError):
                    _copy_attributes(self.target, file.fileno())
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
            return os.dup(file.fileno())

    def _sync_folder(self) -> None:
        folder = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems cannot
                raise
        finally:
            os.close(folder)


def _hidden(target: Path, what: str) -> Path:
    # The name stays at the end: some servers tell a file's format by it.
    return target.with_name(f".consulfwd-{what}.{target.name}")


def _standing(path: Path, target: Path) -> os.stat_result | None:
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ApplyError(str(path), "not a regular file", "name a file, or a place for a new one")
    return found


def _copy_attributes(source: Path, to: int) -> None:
    """Copy access lists and security labels, where the system has them."""
    if hasattr(os, "listxattr"):
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):
                os.setxattr(to, name, os.getxattr(source, name))
