"""What a client shows and trusts: its token and certificates, read from where the settings say.

Must not know: requests, or how they fail. Reading takes a moment: not for the event loop.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Generic, TypeVar

from consulfwd.config import Agent
from consulfwd.config.credentials import TOKEN_LIMIT, is_token, located
from consulfwd.consul.failures import reason

T = TypeVar("T")

_PEM_LIMIT = 1 << 20


class Reading(Generic[T]):
    """Something that is read from files, anew where one was written to or is another one.

    `fault` is why it could not be when it was last tried; `value` is what was read before then.
    """

    def __init__(self, files: Sequence[Path | None], read: Callable[[], T], value: T) -> None:
        self.files = [file for file in files if file is not None]
        self.value = value
        self.fault = "it was not read yet"
        self._read = read
        self._states: list[tuple[int, ...]] = []

    def look(self) -> None:
        """Read it if that may come to something else. Takes a moment: not for the event loop."""
        try:
            # What is written meanwhile is seen the next time.
            states = [_state(located(file, os.environ)) for file in self.files]
            if self.fault or states != self._states:
                self.value, self._states = self._read(), states
            self.fault = ""
        except ValueError as error:
            self.fault = str(error)


def _state(file: Path) -> tuple[int, ...]:
    """Return what is another once the file is written to, replaced, or closed to readers."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def tls(agent: Agent) -> ssl.SSLContext | None:
    """Return how TLS is spoken with an agent, None where it is not.

    Raises ValueError with what is wrong with a file.
    """
    if agent.http_scheme == "http":
        return None
    authorities = None if agent.ca_file is None else located(agent.ca_file, os.environ)
    if authorities is not None:
        _content(authorities, 1)
    try:
        context = ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        raise ValueError(f"{authorities} holds no certificates") from None
    except OSError as error:
        raise ValueError(f"{authorities} cannot be read: {reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if agent.cert_file is not None:
        certificate = located(agent.cert_file, os.environ)
        key = certificate if agent.key_file is None else located(agent.key_file, os.environ)
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Have a certificate shown to agents. Raises ValueError with what is wrong with it."""

    def locked() -> str:
        # Without this OpenSSL would ask for it at the terminal.
        raise ValueError(f"{key} is encrypted: write it without a passphrase")

    if b"CERTIFICATE-----" not in _content(certificate, _PEM_LIMIT):
        raise ValueError(f"{certificate} holds no certificate")
    if b"PRIVATE KEY-----" not in _content(key, _PEM_LIMIT):
        raise ValueError(f"{key} holds no private key")
    try:
        context.load_cert_chain(certificate, key, password=locked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key} is not the key of {certificate}") from None
        why = (error.reason or str(error)).replace("_", " ").lower()
        raise ValueError(f"{certificate} and {key} cannot be used: {why}") from None


def token(agent: Agent) -> str:
    """Return the token. Raises ValueError without it, of whatever else is there instead."""
    if agent.token_variable is not None:
        where, found = agent.token_variable, os.environ.get(agent.token_variable, "")
    elif agent.token_file is not None:
        file = located(agent.token_file, os.environ)
        where, found = str(file), _content(file, TOKEN_LIMIT + 4).decode("utf-8-sig", "replace")
    else:
        return ""
    found = found.strip()
    # Whatever it is must not get into a message either.
    if not found:
        # Often one that is being written: without any, less would be seen.
        raise ValueError(f"{where} is empty")
    if found[0] in "\"'":
        raise ValueError(f"{where} holds a token in quotes: take them out")
    if not is_token(found):
        raise ValueError(f"{where} holds no token")
    return found


def _content(file: Path, limit: int) -> bytes:
    try:
        # Without waiting: a pipe may stand there by now, and nobody write to it.
        with open(file, "rb", opener=_at_once) as opened:
            if not S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise ValueError(f"{file} is not a file")
            return opened.read(limit)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {reason(error)}") from None


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
