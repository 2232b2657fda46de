"""A connection to a target, closed at once whatever happens.

What belongs here: TCP and TLS to one address, and reading from it. What is said on it others know.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from consulfwd.config.credentials import located
from consulfwd.failover.checks.looking import Progress, Unasked

_CLIENT = ssl.PROTOCOL_TLS_CLIENT
_PIECE = 16_384


class Stream:
    """A connection that is open. Raises OSError, and ssl.SSLError where TLS fails on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, octets: bytes) -> None:
        """Send all of it."""
        self._writer.write(octets)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """Return what comes next, b"" at the end."""
        return await self._reader.read(_PIECE)


@asynccontextmanager
async def connected(
    ip: str, port: int, progress: Progress, tls: ssl.SSLContext | None = None, name: str = ""
) -> AsyncIterator[Stream]:
    """Open a connection to an address, over `tls` with a `name` if that is given."""
    progress.at("connecting" if tls is None else "connecting, over TLS")
    # Looked at piece by piece, no more waits here than is taken at once.
    reader, writer = await asyncio.open_connection(
        ip, port, ssl=tls, server_hostname=name if tls is not None else None, limit=2 * _PIECE
    )
    try:
        yield Stream(reader, writer)
    finally:
        # Without the leave-taking of TCP and TLS, for which the other side may let us wait.
        writer.transport.abort()


class Trust:
    """How certificates are verified: read when it is first needed, anew where its file changes."""

    def __init__(self, ca_file: Path | None, verify: bool) -> None:
        self._file = ca_file
        self._verify = verify

    async def context(self) -> ssl.SSLContext:
        """Return it. Raises Unasked where the certificates cannot be read."""
        try:
            return await asyncio.to_thread(self._context)
        except ssl.SSLError:
            raise Unasked(f"ca_file holds no certificates: {self._file}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise Unasked(f"ca_file cannot be read: {why}") from None

    def _context(self) -> ssl.SSLContext:
        if self._file is None:
            return _made(None, (), self._verify)
        found = located(self._file, os.environ)
        state = found.stat()
        written = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        return _made(found, written, self._verify)


# The system's are read in 30 ms, and the same for all checks.
@lru_cache(32)
def _made(file: Path | None, written: tuple[int, ...], verify: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=file) if verify else ssl.SSLContext(_CLIENT)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
