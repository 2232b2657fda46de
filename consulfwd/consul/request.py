"""One HTTP request to an agent: made once, its reply bounded, its failure in plain words.

What belongs here: what goes to aiohttp and what comes from it. Must not know: which connections
there are, when a request is made again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.config import Agent
from consulfwd.consul.failures import plain, told
from consulfwd.consul.reply import Reply, read
from consulfwd.consul.way import Way
from consulfwd.errors import ConsulError, UnknownOutcome

if TYPE_CHECKING:
    import aiohttp

CONNECT_S = 5.0
_READS = "GET"


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What is asked, or written. `absent`: that there is nothing (404) is a reply, too.

    An `anonymous` one shows no token; a reply has `limit` octets at most, and a status of 200 or
    one of `also`.
    """

    method: str
    path: str
    params: Mapping[str, str] | None
    body: bytes | None
    timeout: float
    limit: int
    absent: bool = False
    anonymous: bool = False
    also: Collection[int] = ()

    @property
    def reads(self) -> bool:
        """Whether it makes no difference how often it is made."""
        return self.method == _READS

    def shows(self, way: Way) -> bool:
        """Return whether a token goes with it there."""
        return bool(way.headers) and not self.anonymous


class Target(NamedTuple):
    """How an agent is called: in messages, in URLs, in headers, in its certificate."""

    name: str
    base: str
    headers: dict[str, str]
    verified: str | None


def target(agent: Agent) -> Target:
    """Return what the settings of an agent come to."""
    if agent.http_socket is not None:
        return Target(agent.name, "http://localhost", {}, agent.tls_server_name)
    host = f"[{agent.address}]" if ":" in agent.address else agent.address
    base = f"{agent.http_scheme}://{host}:{agent.http_port}"
    # Which interface leads there is this host's business alone (RFC 6874 section 1), and in no
    # certificate.
    plain, scoped, _ = agent.address.partition("%")
    if not scoped:
        return Target(agent.name, base, {}, agent.tls_server_name)
    verified = agent.tls_server_name or (plain if agent.http_scheme == "https" else None)
    return Target(agent.name, base, {"Host": f"[{plain}]:{agent.http_port}"}, verified)


async def carry(request: Request, to: Target, way: Way, timeout: float) -> Reply:
    """Return the reply, of a status that is one. Raises UnknownOutcome or another ConsulError."""
    import aiohttp

    session = way.reading if request.reads else way.writing
    begin = time.monotonic()
    # Raised at the end, without what aiohttp says beside: what was shown is in that.
    try:
        async with session.request(
            request.method,
            to.base + request.path,
            params=request.params,
            data=request.body,
            headers=to.headers | ({} if request.anonymous else way.headers),
            server_hostname=to.verified,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(timeout, sock_connect=min(timeout, CONNECT_S)),
        ) as response:
            body = await _bounded(response, request.limit)
            status = response.status
            if request.absent and status == 404:
                body = b"null"
            elif status != 200 and status not in request.also:
                why = told(body) or "no more is said"
                # What servers say of themselves may come after the fact: they lost their leader.
                raise _failure(request, to, status, why, sent=status >= 500)
            return read(to.name, status, response.headers, body, time.monotonic() - begin)
    except (asyncio.TimeoutError, TimeoutError) as error:
        sent = not isinstance(error, aiohttp.ServerTimeoutError)
        failure = _failure(request, to, 0, f"no reply within {request.timeout:g} s", sent=sent)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        sent = not isinstance(error, aiohttp.ClientConnectorError)
        failure = _failure(request, to, 0, plain(error), sent=sent)
    raise failure


def _failure(
    request: Request, to: Target, status: int, reason: str, *, sent: bool
) -> ConsulError:
    if request.reads or not sent:
        return ConsulError(to.name, status, reason)
    return UnknownOutcome(to.name, status, reason)


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
