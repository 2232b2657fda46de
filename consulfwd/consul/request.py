"""One HTTP request to an agent: made once, its reply bounded, its failure in plain words.

What belongs here: a request's octets, and what its end is worth. Must not know: which connections
there are, when a request is made again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlencode

from consulfwd.config import Agent
from consulfwd.consul.connection import Lost
from consulfwd.consul.failures import plain, told
from consulfwd.consul.reply import Reply, read
from consulfwd.consul.way import NoReply, NotConnected, Way
from consulfwd.errors import ConsulError, UnknownOutcome

_READS = "GET"
_PORTS = {"http": 80, "https": 443}
# What is compressed may be of any size once it is not.
_ALWAYS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "consulfwd"}
# What paths have in them that is quoted already stays as it is.
_SAFE = "/:%+=~!$&'()*,;@"


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
    """How an agent is called: in messages, in a request's Host, in its certificate."""

    name: str
    host: str
    verified: str | None


def target(agent: Agent) -> Target:
    """Return what the settings of an agent come to."""
    if agent.http_socket is not None:
        return Target(agent.name, "localhost", agent.tls_server_name)
    # Which interface leads there is this host's business alone (RFC 6874 section 1), and in no
    # certificate.
    plain, scoped, _ = agent.address.partition("%")
    host = f"[{plain}]" if ":" in plain else plain
    if agent.http_port != _PORTS[agent.http_scheme]:
        host = f"{host}:{agent.http_port}"
    verified = plain if scoped and agent.http_scheme == "https" else None
    return Target(agent.name, host, agent.tls_server_name or verified)


def _octets(request: Request, to: Target, shown: Mapping[str, str]) -> bytes:
    """Return a request as it is sent. Raises ValueError where something in it would be another."""
    query = f"?{urlencode(request.params)}" if request.params else ""
    headers = {"Host": to.host, **_ALWAYS, **shown}
    if request.body is not None:
        headers["Content-Length"] = str(len(request.body))
        if request.body:
            headers["Content-Type"] = "application/octet-stream"
    lines = [f"{request.method} {quote(request.path, safe=_SAFE)}{query} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not all(map(str.isprintable, lines)):
        raise ValueError("what would be asked is no HTTP")
    head = "\r\n".join((*lines, "", "")).encode("ascii")
    return head + request.body if request.body else head


async def carry(request: Request, to: Target, way: Way, timeout: float) -> Reply:
    """Return the reply, of a status that is one.

    Raises UnknownOutcome or another ConsulError, and CutOff.
    """
    begin = time.monotonic()
    reads = request.reads
    # Raised at the end, without what went wrong beside: what was shown may be in that.
    try:
        octets = _octets(request, to, {} if request.anonymous else way.headers)
        status, headers, body = await way.ask(
            octets, limit=request.limit, timeout=timeout, again=reads, cut=reads
        )
    except NoReply as error:
        why, sent = f"no reply within {request.timeout:g} s", error.sent
    except NotConnected as error:
        cause = error.__cause__
        why, sent = plain(cause if isinstance(cause, Exception) else error), False
    except (Lost, OSError, ValueError) as error:
        why, sent = plain(error), True
    else:
        if request.absent and status == 404:
            body = b"null"
        elif status != 200 and status not in request.also:
            for secret in way.headers.values():
                # Some say what they were asked with; that is no log's.
                body = body.replace(secret.encode(), b"(the token)")
            why = told(body) or "no more is said"
            # What servers say of themselves may come after the fact: they lost their leader.
            raise _failure(request, to, status, why, sent=status >= 500)
        return read(to.name, status, headers, body, time.monotonic() - begin)
    raise _failure(request, to, 0, why, sent=sent)


def _failure(
    request: Request, to: Target, status: int, reason: str, *, sent: bool
) -> ConsulError:
    if request.reads or not sent:
        return ConsulError(to.name, status, reason)
    return UnknownOutcome(to.name, status, reason)
