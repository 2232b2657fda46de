"""One file replaced as a whole: made beside its place, renamed into it, with a way back.

What belongs here: the steps of one file. Where it is, and what is beside it, is in `places`; which
files, in what order, and who checks and reloads them is in `steps`; must not know that.

All that is made on the way are hidden files beside the place, with names of their own, so that a
server that reads `*.conf` or a whole directory does not take them for its configuration.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from types import TracebackType

from consulfwd.apply.marks import Mark
from consulfwd.apply.places import (
    Links,
    backup_of,
    candidate_of,
    fault,
    faults_of,
    kept_of,
    mark_of,
    standing,
    target_of,
)
from consulfwd.errors import ApplyError

NEW_MODE = 0o644
# What the mark says of a file where nothing stood before: the way back is to remove it.
_FIRST = b"nothing stood there before\n"
# What it says while a file is written in place: what stands there is neither, and no way back.
_HALF = b"a part may stand there\n"


class Replacement:
    """One file's way to its place. The context has its mark, and leaves nothing behind.

    First `stage`; then, once `candidate` is found good, `replace`; then `settle`, which makes what
    stood there the backup, or `put_back`, or `leave`. All raise ApplyError. `path` is as the user
    named it; `target` is what is replaced; `unfinished` says that an earlier replacement was
    killed, or left, so that the file may stand there though nobody was told to read it.
    """

    def __init__(self, path: Path, links: Links = "refuse") -> None:
        self.path = path
        self.target = target_of(path, links)
        self.candidate = candidate_of(self.target)
        self.unfinished = False
        self._links = links
        self._old = kept_of(self.target)
        self._mark = Mark(mark_of(self.target))
        self._made = -1  # a descriptor of the candidate
        self._data = b""
        self._before: os.stat_result | None = None
        self._stood = False  # a file was there, or a link that is to be replaced
        self._same = False  # it stands there already
        self._half = False  # what stands there is a part of what a killed one wrote
        self._begun = False  # there is a way back, and it may be needed

    def __enter__(self) -> Replacement:
        folder = self.target.parent
        if not folder.is_dir():
            if folder.exists():
                raise ApplyError(str(self.path), f"{folder} is no directory", "name another place")
            raise ApplyError(
                str(self.path), f"no such directory: {folder}", "make it, or name another place"
            )
        with faults_of(self.path):
            # Nobody is sent for the rights to write to what is no file.
            standing(self.path, self.target)
            self._mark.take(self.path)
        self.unfinished = self._mark.found
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
                    self._mark.remove()
        finally:
            self._mark.close()
            if self._made != -1:
                os.close(self._made)

    def stage(self, data: bytes) -> None:
        """Make the candidate: `data`, on disk, with owner and mode of what it will replace.

        Until it is in its place, nobody but its owner can write to it.
        """
        with faults_of(self.path):
            self._data = data
            self._before = before = standing(self.path, self.target)
            self._stood = os.path.lexists(self.target)
            backup = backup_of(self.target)
            if backup.is_dir():
                raise ApplyError(str(backup), "a directory is where the backup goes", "move it")
            self._same = before is not None and self.target.read_bytes() == data
            self._drop_strange()
            kept = os.path.lexists(self._old)
            self._half = kept and self._mark.says(_HALF)
            if kept and not (self._same or self._half):
                self._old.replace(backup)
            self._made = self._write(self.candidate, data, self._mode() & ~0o022)
            # It tells the next one that this was begun, so it is on disk before the file can be.
            self._mark.sync()

    def replace(self) -> None:
        """Put the candidate in the place, keeping aside what stands there."""
        with faults_of(self.path):
            if self._same:
                # A replacement that was killed got as far as this; what it kept is the way back.
                self._begun = os.path.lexists(self._old)
                if not self._begun and self._mark.says(_FIRST):
                    self._begun, self._stood = True, False
                return
            if not self._stood:
                self._mark.note(_FIRST)
            elif not self._half:
                self._keep()
            self._begun = True
            # Whoever may write to the directory may have put something else there meanwhile, such
            # as a link to a file that is to be neither opened to all nor read.
            if not os.path.samestat(os.fstat(self._made), self.candidate.lstat()):
                what = "its candidate was replaced by somebody else"
                raise ApplyError(str(self.path), what, "see who may write to the directory")
            os.fchmod(self._made, self._mode())
            self._move(self.candidate, self._data)
            self._sync_folder()

    def put_back(self) -> None:
        """Let what stood there stand there again, to the byte; nothing, where nothing did."""
        self.unfinished = False
        if not self._begun:
            return
        try:
            if self._stood:
                # Renaming does nothing where both are the same file: nothing had been replaced.
                self._move(self._old)
            else:
                self.target.unlink(missing_ok=True)
                self._mark.note(b"")
            self._sync_folder()
        except OSError as error:
            what, mend = fault(self.path, error).what, ""
            if os.path.lexists(self._old):
                what += f"; what stood there is in {self._old}"
                mend = f"mv {self._old} {self.target}"
            raise ApplyError(str(self.path), what, mend) from error
        self._begun = False

    def settle(self) -> Path | None:
        """Make what stood there the backup. Returns where that is; None if nothing stood there."""
        begun, self._begun, self.unfinished = self._begun, False, False
        if not begun or not self._stood:
            return None
        backup = backup_of(self.target)
        try:
            self._old.replace(backup)
            self._sync_folder()
        except OSError:
            # The new file is in force and good: too late for a way back.
            return None
        return backup

    def leave(self) -> None:
        """Let all stay as it is, the way back too, for the next one to find it `unfinished`."""
        self.unfinished = True

    def _mode(self) -> int:
        return NEW_MODE if self._before is None else stat.S_IMODE(self._before.st_mode)

    def _drop_strange(self) -> None:
        """Remove what is called like the old file, but was not left by one that was killed."""
        with contextlib.suppress(FileNotFoundError):
            kept = self._old.lstat()
            owner = os.geteuid() if self._before is None else self._before.st_uid
            # A link is kept only where one was to be replaced, and made by us.
            link = stat.S_ISLNK(kept.st_mode) and self._links == "replace"
            if link:
                owner = os.geteuid()
            if not (stat.S_ISREG(kept.st_mode) or link) or kept.st_uid != owner:
                self._old.unlink()

    def _keep(self) -> None:
        """Keep what stands there under a second name; copied where links are not allowed."""
        if self._before is None:
            self._old.symlink_to(self.target.readlink())
            return
        try:
            os.link(self.target, self._old)
        except OSError:
            os.close(self._write(self._old, self.target.read_bytes(), self._mode()))

    def _move(self, source: Path, data: bytes | None = None) -> None:
        """Rename into the place; where that is mounted, as in containers, write what is in there.

        That is not done at once: until the end, and for good if this is killed, a part may stand
        there. The old one is beside it then, and the mark says so to the next one.
        """
        try:
            source.replace(self.target)
        except OSError as error:
            if error.errno != errno.EBUSY or self.target.is_symlink():
                raise
            data = source.read_bytes() if data is None else data
            # It may have been refused before there was a new one.
            if self.target.read_bytes() != data:
                self._mark.note(_HALF)
                _overwrite(self.target, data)
                self._mark.note(b"")
            source.unlink()

    def _write(self, path: Path, data: bytes, mode: int) -> int:
        """Make a file with these octets, on disk; return a descriptor of it."""
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(data)
            if (before := self._before) is not None:
                _give(file.fileno(), before.st_uid, before.st_gid)
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


def _give(descriptor: int, owner: int, group: int) -> None:
    """Have a file belong to somebody; where it does, to be refused the call is no matter."""
    try:
        os.fchown(descriptor, owner, group)
    except PermissionError:
        made = os.fstat(descriptor)
        if (made.st_uid, made.st_gid) != (owner, group):
            raise


def _overwrite(target: Path, data: bytes) -> None:
    """Write over what is in a file, so that the room it has is not given back before."""
    descriptor = os.open(target, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_attributes(source: Path, to: int) -> None:
    """Copy access lists and security labels, where the system has them."""
    if hasattr(os, "listxattr"):
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):
                os.setxattr(to, name, os.getxattr(source, name))
