"""The sockets people come in by: taken, waited for while another process has them, given back.

A path is taken by whoever holds the lock of a file beside it, for as long as the process lives: of
two that begin at once one waits. What a dead process left is replaced; what somebody else serves,
or is no socket, is left alone. Nothing here follows a link at that path.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import logging
import os
import socket
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from consulfwd.config import Endpoint

log = logging.getLogger("consulfwd.admin")

_BACKLOG = 128
_LOCK = ".lock"
_TRIES = 5


class Door(NamedTuple):
    """Where a connection came in: `port` is that of TCP, None for the unix socket."""

    port: int | None = None


class Busy(Exception):
    """Another process has it now."""


class Unusable(Exception):
    """It cannot be had as things are; the message says what to do."""


class Place(Protocol):
    """Where to listen; those with the same `key` are the same."""

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes it the one it is."""
        ...

    def take(self) -> tuple[socket.socket, Door]:
        """Return a socket that listens there. Raises Busy, Unusable."""
        ...

    def give_back(self) -> None:
        """Leave nothing of it. The socket is closed by who took it."""
        ...


class Port:
    """An address on loopback; with `spare` another port if that one is taken."""

    def __init__(self, endpoint: Endpoint, *, spare: bool = False) -> None:
        self.key: tuple[object, ...] = ("port", str(endpoint))
        self._endpoint = endpoint
        self._spare = spare

    def __str__(self) -> str:
        return f"http://{self._endpoint}/"

    def take(self) -> tuple[socket.socket, Door]:
        try:
            return self._bound(self._endpoint.port)
        except Busy:
            if not self._spare:
                raise
            return self._bound(0)

    def _bound(self, port: int) -> tuple[socket.socket, Door]:
        host = self._endpoint.host
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise Busy from None
            raise Unusable(f"{error.strerror} (see admin.listen)") from None
        # Which port it is when any was asked for.
        self._endpoint = self._endpoint.replace(port=sock.getsockname()[1])
        return sock, Door(self._endpoint.port)

    def give_back(self) -> None:
        """Nothing is left of it."""


class Owner(NamedTuple):
    """Whose a socket is to be, where that is not who runs this process."""

    uid: int
    gid: int


class Unix:
    """A unix socket at a path, with its mode, its group and its owner."""

    def __init__(self, path: Path, mode: int, group: str | None, owner: Owner | None) -> None:
        self.key: tuple[object, ...] = ("unix", str(path), mode, group, owner)
        self.path = path
        self._mode = mode
        self._group = group
        self._owner = owner
        self._folder = -1
        self._lock = -1
        self._made: tuple[int, int] | None = None

    def __str__(self) -> str:
        return str(self.path)

    def take(self) -> tuple[socket.socket, Door]:
        try:
            # The folder stays the one it is, whatever its name comes to mean.
            self._folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock = self._locked()
            self._make_room()
            return self._bound(), Door()
        except OSError as error:
            self.give_back()
            if error.errno == errno.EADDRINUSE:
                # Somebody without our lock was there first.
                raise Busy from None
            raise Unusable(f"{_told(error)} (see admin.socket)") from None
        except (Busy, Unusable):
            self.give_back()
            raise

    def _locked(self) -> int:
        name = self.path.name + _LOCK
        for _ in range(_TRIES):
            lock, ours = self._open_lock(name)
            try:
                if ours and self._owner is not None:
                    # Whoever runs as that user from the start can take what a dead process left.
                    os.fchown(lock, *self._owner)
                found = os.fstat(lock)
                if not stat.S_ISREG(found.st_mode):
                    raise Unusable(f"{self.path}{_LOCK} is no file: take it away")
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Who had it may have taken it away as the last thing it did.
                with contextlib.suppress(FileNotFoundError):
                    there = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                    if os.path.samestat(found, there):
                        return lock
            except BlockingIOError:
                os.close(lock)
                raise Busy from None
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
        raise Busy

    def _open_lock(self, name: str) -> tuple[int, bool]:
        """Return the file of the lock, and whether it was made here. Raises OSError, Busy."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(FileExistsError):
            made = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._folder)
            return made, True
        try:
            return os.open(name, flags, dir_fd=self._folder), False
        except FileNotFoundError:
            # Who had it has just taken it away.
            raise Busy from None

    def _make_room(self) -> None:
        """Take away what a dead process left. Raises Busy, Unusable."""
        name = self.path.name
        try:
            mode = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            what = {stat.S_IFLNK: "a link", stat.S_IFREG: "a file", stat.S_IFDIR: "a folder"}
            found = what.get(stat.S_IFMT(mode), "no socket")
            raise Unusable(f"that is {found}, and left alone: take it away, or name another path"
                           " (admin.socket)")  # fmt: skip
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            try:
                sock.connect(self._here)
            except ConnectionRefusedError:
                os.unlink(name, dir_fd=self._folder)
                return
            except BlockingIOError:
                pass
        raise Busy

    @property
    def _here(self) -> str:
        return f"/proc/self/fd/{self._folder}/{self.path.name}"

    def _bound(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            # Nobody else gets in until it is whose it shall be: bind() makes the file by this mode.
            os.fchmod(sock.fileno(), 0o600)
            sock.bind(self._here)
            self._hand_over()
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def _hand_over(self) -> None:
        """Give the socket its owner, group and mode: the very one that was made."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(self.path.name, flags, dir_fd=self._folder)
        try:
            found = os.fstat(made)
            if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
                raise Unusable("somebody else writes into that folder: name another path"
                               " (admin.socket)")  # fmt: skip
            self._made = found.st_dev, found.st_ino
            here = f"/proc/self/fd/{made}"
            gid = self._gid()
            if gid is not None:
                try:
                    os.chown(here, -1, gid)
                except OSError as error:
                    log.warning(
                        "%s: not given to the group %s: %s (SupplementaryGroups=%s in the unit has"
                        " the process be in it)",
                        self.path, self._group, _told(error), self._group,
                    )  # fmt: skip
            elif self._owner is not None:
                os.chown(here, -1, self._owner.gid)
            Path(here).chmod(self._mode)
            if self._owner is not None:
                os.chown(here, self._owner.uid, -1)
        finally:
            os.close(made)

    def _gid(self) -> int | None:
        if self._group is None:
            return None
        if self._group.isdigit():
            return int(self._group)
        try:
            return grp.getgrnam(self._group).gr_gid
        except KeyError:
            log.warning("%s: there is no group %s (admin.group)", self.path, self._group)
            return None

    def give_back(self) -> None:
        with contextlib.suppress(OSError):
            if self._made is not None:
                name = self.path.name
                found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                if (found.st_dev, found.st_ino) == self._made:
                    os.unlink(name, dir_fd=self._folder)
        with contextlib.suppress(OSError):
            if self._lock >= 0:
                os.unlink(self.path.name + _LOCK, dir_fd=self._folder)
        for number in (self._lock, self._folder):
            if number >= 0:
                os.close(number)
        self._lock = self._folder = -1
        self._made = None


def _told(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
