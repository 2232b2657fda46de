"""Where a process can be looked at: what the settings say, and what `auto` comes to here."""

from __future__ import annotations

import logging
import os
import pwd
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from consulfwd.config.credentials import TOKEN_LIMIT, is_token, located
from consulfwd.config.sections import AdminSettings
from consulfwd.ops import places
from consulfwd.ops.admin.doors import Owner, Place, Port, Unix

log = logging.getLogger("consulfwd.admin")

_LONGEST_NAME = 60


def called(verb: str, name: str = "") -> str:
    """Return what a process's socket is called, without the ending."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:_LONGEST_NAME].strip(".-")
    return f"{verb}-{plain}" if plain else verb


def places_of(
    settings: AdminSettings, usual: Path | None, owner: Owner | None, *, spare: bool = False
) -> list[Place]:
    """Return where to listen; `usual` is what `auto` is here, `owner` whose the socket is to be."""
    found: list[Place] = []
    path = usual if settings.socket == "auto" else settings.socket or None
    if path is not None:
        found.append(Unix(Path(path), int(settings.mode, 8), settings.group, owner))
    if settings.listen is not None:
        found.append(Port(settings.listen, spare=spare))
    return found


def owner_of(user: str | None) -> Owner | None:
    """Return whose the socket is to be where this process is yet to become `user`."""
    if user is None or os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        # Told by who cannot become that user.
        return None
    return Owner(entry.pw_uid, entry.pw_gid)


def has_room(name: str, environ: Mapping[str, str], run: Path = places.RUN) -> bool:
    """Return whether there is a usual place here, and nobody who has it."""
    path = _usual(name, environ, None, run)
    return path is not None and not places.lives(path)


def usual(
    name: str, environ: Mapping[str, str], owner: Owner | None = None, run: Path = places.RUN
) -> Path | None:
    """Return where the socket of that name is usually, on this host and for this user."""
    path = _usual(name, environ, owner, run)
    if path is None:
        log.info(
            "no admin socket: there is no %s that may be written, and no folder of a user's"
            " (admin.socket names a path)",
            run,
        )
    return path


def _usual(
    name: str, environ: Mapping[str, str], owner: Owner | None, run: Path
) -> Path | None:
    file = name + places.SUFFIX
    if (own := places.own_folder(environ)) is not None:
        return own / file
    if os.access(run, os.W_OK | os.X_OK):
        # A folder of its own for who will not be root: it could take nothing away there.
        return run / file if owner is None else _folder_of(run / name, owner) / file
    folder = places.user_folder(environ)
    if folder is None:
        return None
    try:
        folder.mkdir(0o700, exist_ok=True)
    except OSError:
        return None
    return folder / file


def _folder_of(path: Path, owner: Owner) -> Path:
    try:
        path.mkdir(0o755, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(folder, *owner)
        finally:
            os.close(folder)
    except OSError as error:
        log.debug("%s: %s", path, error.strerror)
    return path


def token_of(settings: AdminSettings, environ: Mapping[str, str], before: str) -> str:
    """Return the token there is by now, "" for none; one that cannot be read leaves the old."""
    if settings.token_file is None:
        return ""
    fault = ""
    try:
        found = _read(located(settings.token_file, environ))
        if not found or not is_token(found) or " " in found:
            fault = "holds no token" if not found else "holds something that cannot be a token"
    except (OSError, ValueError) as error:
        fault = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not fault:
        return found
    kept = "the one before stays in force" if before else "over TCP nothing can be ordered"
    log.error("admin.token_file: %s %s; %s", settings.token_file, fault, kept)
    return before


def _read(path: Path) -> str:
    # A pipe would have us wait for who writes.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no file")
        return file.read(TOKEN_LIMIT + 2).decode("ascii", "replace").strip()
