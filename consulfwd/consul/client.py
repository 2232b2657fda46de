"""An asyncio client for the HTTP API of one agent.

What belongs here: connections, limits, certificates, the token, and every way a request can fail
put in plain words. Must not know: what is asked, or why. aiohttp takes a good part of a second to
import, so that is done by the first request, in a thread: the event loop serves DNS meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from consulfwd.config import Agent
from consulfwd.consul.reply import Reply, read
from consulfwd.core.carriers import CONNECTIONS
from consulfwd.errors import ConsulError

if TYPE_CHECKING:
    import aiohttp

CONNECT_S = 5.0
# Between two looks at an agent (10 s) a connection stays; those of agents not in use go.
KEEP_ALIVE_S = 20.0
# The longest body taken, in octets: 10,000 instances of a service.
LIMIT = 8 << 20
_TOKEN_LIMIT = 4096
_TOLD = 200
SWITCH_S = 0.0005
# The status of an agent that takes no more connections of this host (`http_max_conns_per_client`).
CROWDED = 429
_importing = threading.Lock()


class Client:
    """Asks one agent. What it is made of (token, certificates) is read when it first asks.

    `connections` is how many it opens at most; more requests wait for one to be free.
    """

    def __init__(self, agent: Agent, *, connections: int = CONNECTIONS) -> None:
        host = f"[{agent.address}]" if ":" in agent.address else agent.address
        self.agent = agent
        self.base = f"{agent.http_scheme}://{host}:{agent.http_port}"
        # Which interface leads there is this host's business alone (RFC 6874 section 1), and in no
        # certificate.
        plain, scoped, _ = agent.address.partition("%")
        self._headers = {"Host": f"[{plain}]:{agent.http_port}"} if scoped else None
        self._verified = plain if scoped and agent.http_scheme == "https" else None
        self._connections = connections
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = LIMIT,
        absent: bool = False,
    ) -> Reply:
        """Return the reply to GET `path`, of status 200 and with a body of `limit` octets at most.

        Names in `path` must be quoted. With `absent`, a reply of status 404 is one too, its body
        being null: so Consul says that there is no such key. Raises ConsulError for anything else,
        after `timeout` seconds at the latest.
        """
        session = await self._open()
        import aiohttp

        begin = time.monotonic()
        try:
            async with session.get(
                self.base + path,
                params=params,
                headers=self._headers,
                server_hostname=self._verified,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(timeout, sock_connect=min(timeout, CONNECT_S)),
            ) as response:
                body = await _bounded(response, limit)
                if absent and response.status == 404:
                    body = b"null"
                elif response.status != 200:
                    raise self._error(response.status, _told(body) or "no more is said")
                took = time.monotonic() - begin
                return read(self.agent.name, response.status, response.headers, body, took)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise self._error(0, f"no reply within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._error(0, _plain(error)) from error

    async def ready(self) -> None:
        """Make ready what the first request would have to wait for. Raises ConsulError."""
        await self._open()

    async def close(self) -> None:
        """Close every connection; requests under way fail. May be called twice."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _error(self, status: int, reason: str) -> ConsulError:
        return ConsulError(self.agent.name, status, reason)

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._closed:
                raise self._error(0, "the client is closed")
            if self._session is None:
                try:
                    token, context = await asyncio.to_thread(_prepare, self.agent)
                except ValueError as error:
                    raise self._error(0, str(error)) from error
                except OSError as error:
                    # Where there are no files, not even what asks can be imported.
                    raise self._error(0, _reason(error)) from error
                if self._closed:
                    raise self._error(0, "the client was closed meanwhile")
                self._session = _session(token, context, self._connections)
            return self._session


def _import() -> None:
    """Import aiohttp so that no query waits for it, then or later."""
    # Whoever comes second waits here for the first, and not where answers are given.
    with _importing:
        if "aiohttp" in sys.modules:
            return
        collecting, interval = gc.isenabled(), sys.getswitchinterval()
        gc.disable()
        # The thread that answers queries is not to wait 5 ms each time it has one.
        sys.setswitchinterval(SWITCH_S)
        try:
            import aiohttp  # noqa: F401
        finally:
            # What it is made of stays: looking through that again and again held up queries.
            gc.freeze()
            sys.setswitchinterval(interval)
            if collecting:
                gc.enable()


def _prepare(agent: Agent) -> tuple[str, ssl.SSLContext | None]:
    """Return the token and the certificates to trust; whatever takes time happens here."""
    _import()
    token = "" if agent.token_file is None else _token(agent.token_file)
    if agent.http_scheme == "http":
        return token, None
    try:
        context = ssl.create_default_context(cafile=agent.ca_file)
    except ssl.SSLError:
        raise ValueError(f"{agent.ca_file} holds no certificates") from None
    except OSError as error:
        raise ValueError(f"{agent.ca_file} cannot be read: {_reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return token, context


def _token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            token = opened.read(_TOKEN_LIMIT + 1).strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {_reason(error)}") from None
    # Whatever it holds instead must not get into a header, nor into a message.
    if not token.isascii() or not token.decode().isprintable() or len(token) > _TOKEN_LIMIT:
        raise ValueError(f"{file} holds no token")
    return token.decode()


def _session(
    token: str, context: ssl.SSLContext | None, connections: int
) -> aiohttp.ClientSession:
    import aiohttp

    connector = aiohttp.TCPConnector(
        limit=connections,
        keepalive_timeout=KEEP_ALIVE_S,
        ssl=True if context is None else context,
    )
    # What is compressed may be of any size once it is not.
    headers = {"Accept-Encoding": "identity", "User-Agent": "consulfwd"}
    if token:
        headers["X-Consul-Token"] = token
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            # Reading on to keep the connection would be what a hostile one wants.
            response.close()
            raise ValueError(f"a reply of more than {limit} octets")
        parts.append(part)
    return b"".join(parts)


def _told(body: bytes) -> str:
    """Return the text of an error reply, fit for a log line."""
    text = body[:_TOLD].decode("ascii", "replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()


def _plain(error: Exception) -> str:
    """Return what went wrong, without Python's or aiohttp's names."""
    import aiohttp

    for each in _chain(error):
        # aiohttp's error of that kind says so without it.
        if message := getattr(each, "verify_message", ""):
            return f"certificate refused: {message}"
        if isinstance(each, ssl.SSLError) and not isinstance(each, ssl.SSLCertVerificationError):
            return "no TLS there"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed without a reply"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "connection closed in the middle of the reply"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the reply is not HTTP"
    if any(isinstance(each, socket.gaierror) for each in _chain(error)):
        # Nothing is looked up of an address but the number of its interface.
        return "its interface is not there"
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno:
            return _reason(each)
    return str(error) or type(error).__name__


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = [error]
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    for each in (inner, error.__cause__, error.__context__):
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
    return found


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
