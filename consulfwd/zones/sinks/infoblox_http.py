"""One HTTP request to a WAPI: made once, its reply bounded, its failure in plain words.

What belongs here: what goes to aiohttp and what comes from it. Must not know: which URLs there are,
what is shown, when a request is made again. No redirect is followed: what is shown would go there.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from consulfwd.consul.failures import plain
from consulfwd.zones.sinks.infoblox_words import Answer

if TYPE_CHECKING:
    import aiohttp

# Octets of a reply at most: a page of 1,000 objects has a tenth of that.
LIMIT = 16 << 20
CONNECT_S = 5.0
CONNECTIONS = 4
_AGENT = "consulfwd"
# Turns of the event loop until a connection that was closed is gone.
_TURNS = 3


class Broken(Exception):
    """There was no reply, and why; what was asked may have come there all the same.

    `slow` says that it was waited for.
    """

    def __init__(self, why: str, *, slow: bool = False) -> None:
        self.why = why
        self.slow = slow
        super().__init__(why)


class Http:
    """Connections to the grid, verified by these certificates, in an event loop of their own."""

    def __init__(self, trusted: ssl.SSLContext, timeout: float) -> None:
        import aiohttp

        self._timeout = timeout
        # Names are looked up as the host does that, whatever else is installed.
        resolver = aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trusted, resolver=resolver)
        self._session = aiohttp.ClientSession(
            connector=connector,
            # What is compressed may be of any size once it is not.
            headers={"Accept-Encoding": "identity", "User-Agent": _AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
        if hasattr(self._session, "_retry_connection"):
            # It would send PUT and DELETE a second time where a connection breaks.
            self._session._retry_connection = False

    async def ask(
        self,
        method: str,
        base: str,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        shown: Mapping[str, str],
    ) -> tuple[Answer, str]:
        """Return the answer, and the cookie that came with it ("" if none did). Raises Broken."""
        import aiohttp
        from yarl import URL

        query = f"?{urlencode(params)}" if params else ""
        # Raised at the end, without what aiohttp says beside: what was shown is in that.
        try:
            async with self._session.request(
                method,
                URL(f"{base}/{quote(path, safe=_SAFE)}{query}", encoded=True),
                data=None if body is None else json.dumps(body).encode(),
                headers={**shown, **({} if body is None else {"Content-Type": _JSON})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    self._timeout, sock_connect=min(self._timeout, CONNECT_S)
                ),
            ) as response:
                text = await _bounded(response)
                morsel = response.cookies.get("ibapauth")
                cookie = "" if morsel is None else morsel.coded_value
                answer = Answer(response.status, text, _retry_after(response.headers))
                return answer, cookie
        except aiohttp.ServerTimeoutError:
            broken = Broken("no connection comes about", slow=True)
        except (asyncio.TimeoutError, TimeoutError):
            broken = Broken(f"no reply within {self._timeout:g} s", slow=True)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            broken = Broken(_why(error))
        raise broken

    async def close(self) -> None:
        """Close every connection of the event loop, so that it may be closed, too."""
        await self._session.close()
        # One that was given up waits for the other side to say that TLS ends, which may be silent.
        for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
            transport.abort()
        for _ in range(_TURNS):
            await asyncio.sleep(0)


_JSON = "application/json"
# References have names and views in them that are quoted already.
_SAFE = "/:%+=~!$&'()*,;@"


def _why(error: Exception) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed without a reply"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "connection closed in the middle of the reply"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the reply is not HTTP"
    if isinstance(getattr(error, "os_error", None), socket.gaierror):
        return "its name is not known"
    return plain(error)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After; a date is not taken (RFC 9110 section 10.2.3)."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    left = LIMIT
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            # Reading on to keep the connection would be what a hostile one wants.
            response.close()
            raise ValueError(f"a reply of more than {LIMIT >> 20} MiB")
        parts.append(part)
    return b"".join(parts)
