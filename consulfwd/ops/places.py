"""Where the admin sockets of running processes are: the folders, and who is there.

What belongs here: paths, for whoever serves one and for whoever looks for one. What is said over
them is in `client` and `admin`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Where systemd has the folders of our units, one below it for each.
RUN = Path("/run/consulfwd")
SUFFIX = ".sock"
# What sockets of processes that are no resolvers are called by.
_OTHER_VERBS = ("zone", "render", "generate")
# Of an address of a unix socket (octets), as unix(7) has it, without the zero octet at its end.
LONGEST = 107


def own_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd made for this very process (RuntimeDirectory=)."""
    # Several stand with colons between them.
    first = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first.startswith("/") else None


def user_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for processes of a user who is logged in, which need not exist."""
    run = environ.get("XDG_RUNTIME_DIR", "")
    return Path(run, "consulfwd") if run.startswith("/") else None


def sockets(environ: Mapping[str, str], run: Path = RUN) -> Iterator[Path]:
    """Yield the admin sockets in the folders there are, whether anybody is there or not."""
    folders = [own_folder(environ), run, *_below(run), user_folder(environ)]
    for folder in dict.fromkeys(one for one in folders if one is not None):
        yield from sorted(path for path in _entries(folder) if path.suffix == SUFFIX)


def of_resolvers(found: Sequence[Path]) -> list[Path]:
    """Return those of sockets that are of resolvers, as far as their names say."""
    return [one for one in found if one.stem.partition("-")[0] not in _OTHER_VERBS]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _below(run: Path) -> list[Path]:
    return [one for one in _entries(run) if one.is_dir() and not one.is_symlink()]


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield an address by which the socket at a path is reached, however long that path is."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def lives(path: Path) -> bool:
    """Return whether a process is behind the socket at a path, or is not to be told from here."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as sock, address_of(path) as address:
            sock.setblocking(False)
            sock.connect(address)
    except (BlockingIOError, PermissionError):
        # So many wait to be let in; or whoever may not connect cannot tell.
        return True
    except OSError:
        return False
    return True
