"""Files that zones need: whether they are there, hold what they should, and hide what they should.

What belongs here: what is wrong with each, as warnings for people: whoever checks settings may be
somebody else than who publishes, on another host. A secret is in no message.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_IROTH

from consulfwd.config.credentials import located, why_unreadable
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.settings import Settings
from consulfwd.config.zones import PrimaryTarget, TargetSettings, UpdateTarget
from consulfwd.errors import ApplyError

_LARGEST = 65_536
Fault = tuple[str, str]


def lacking(settings: Settings, environ: Mapping[str, str]) -> Iterator[Objection]:
    """Yield what is wrong with files of zones; `environ` says where credentials are."""
    for number, zone in enumerate(settings.zones):
        for at, target in enumerate(zone.targets):
            path: KeyPath = ("zones", number, "targets", at)
            for key, fault in _of_target(target, environ):
                yield Objection((*path, *key), *fault)


def _of_target(
    target: TargetSettings, environ: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], Fault]]:
    if target.file is not None and (fault := _folder(target.file.path)):
        yield ("file", "path"), fault
    for kind, keyed in (("rfc2136", target.rfc2136), ("primary", target.primary)):
        if keyed is not None and keyed.key_file is not None:
            for fault in _key(keyed, keyed.key_file, environ):
                yield (kind, "key_file"), fault
    grid = target.infoblox
    if grid is not None:
        for fault in _password(grid.password_file, environ):
            yield ("infoblox", "password_file"), fault
        if grid.ca_file is not None and (fault := _certificates(grid.ca_file, environ)):
            yield ("infoblox", "ca_file"), fault


def _folder(path: Path) -> Fault | None:
    if path.is_dir():
        return f"{path} is a folder", "name a file in it"
    if not path.parent.is_dir():
        return f"its folder {path.parent} is not there", "make it, for who publishes to write to"
    return None


def _key(
    target: UpdateTarget | PrimaryTarget, named: Path, environ: Mapping[str, str]
) -> Iterator[Fault]:
    if (fault := _unreadable(named, environ)) is not None:
        yield fault
        return
    # Imported late: it takes its time.
    from consulfwd.zones.sinks.keys import read_key

    try:
        read_key(target.key_name, named, target.algorithm, environ)
    except ApplyError as error:
        yield f"{error.where} {error.what}", error.mend or "write it anew"
    yield from _exposed(named, environ, "who has the key may change the zone, or read all of it")


def _password(named: Path, environ: Mapping[str, str]) -> Iterator[Fault]:
    if (fault := _unreadable(named, environ)) is not None:
        yield fault
        return
    data = located(named, environ).read_bytes()[: _LARGEST + 1]
    if len(data.strip().splitlines()) != 1:
        yield f"{named} holds no password: that is one line", "write it in one line, and no more"
    yield from _exposed(named, environ, "who has the password may change the grid")


def _certificates(named: Path, environ: Mapping[str, str]) -> Fault | None:
    if (fault := _unreadable(named, environ)) is not None:
        return fault
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(located(named, environ))
    except (ssl.SSLError, OSError):
        return f"{named} holds no certificates", "write them in PEM, as -----BEGIN CERTIFICATE-----"
    return None


def _unreadable(named: Path, environ: Mapping[str, str]) -> Fault | None:
    mend = "check the path, and let who publishes read it"
    return why_unreadable(named, environ, mend, folder="a folder")


def _exposed(named: Path, environ: Mapping[str, str], what: str) -> Iterator[Fault]:
    file = located(named, environ)
    if file.stat().st_mode & S_IROTH:
        yield f"{file} may be read by anybody here: {what}", f"chmod o-r {file}"
