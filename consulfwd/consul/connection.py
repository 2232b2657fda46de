"""A connection to an agent over which HTTP/1.1 is spoken, one request at a time.

What belongs here: sending octets, and collecting the reply within its limit. Must not know: what is
asked, which connections there are, when one is made. What an agent sends unasked behind a reply
ends a connection: it might be taken for the reply to what is asked next. On a new one it is the
reply to the first request: so Consul says that it takes no more connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from consulfwd.consul.http_reply import BadReply, HttpReply

# Octets of a reply's head at most; those of Consul are below 1,000.
HEAD = 8_192
# Of its chunks on the average at least, where they are many: Consul's have 2,048 or more.
CHUNK = 32
# Octets at most of what is said before anything is asked.
EARLY = 2 * HEAD


class Answer(NamedTuple):
    """A whole reply: names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Exception):
    """A connection ended before there was a whole reply, or what came was none; says which."""


class Silent(Lost):
    """A connection ended before anything was said to a request."""

    def __init__(self) -> None:
        super().__init__("connection closed without a reply")


class HttpConnection(asyncio.Protocol):
    """One connection; `ended` is called once it is closed, whoever closed it.

    `fresh` says that nothing was asked on it yet; `idle_since` is for whoever keeps it.
    """

    __slots__ = (
        "_aborted", "_body", "_done", "_early", "_ended", "_error", "_left", "_limit",
        "_reply", "_transport", "fresh", "idle_since",
    )  # fmt: skip

    def __init__(self, ended: Callable[[HttpConnection], None]) -> None:
        self.fresh = True
        self.idle_since = 0.0
        self._ended = ended
        self._aborted = False
        self._error: Exception | None = None
        self._early = b""
        self._transport: asyncio.Transport | None = None
        # Of the request that waits for its reply; that is made when something of it comes, as most
        # of the time nothing does.
        self._done: asyncio.Future[Answer] | None = None
        self._reply: HttpReply | None = None
        # In one piece: as objects, pieces of two octets would take twenty times as much.
        self._body = bytearray()
        self._limit = self._left = 0

    @property
    def lost(self) -> bool:
        """Whether it is closed, or was never made."""
        return self._transport is None

    @property
    def usable(self) -> bool:
        """Whether something may be asked on it now."""
        transport = self._transport
        return transport is not None and self._done is None and not transport.is_closing()

    def ask(self, octets: bytes, limit: int, done: asyncio.Future[Answer]) -> None:
        """Send a request. `done` gets the reply, with a body of `limit` octets at most, or fails.

        It fails with Lost, ValueError where the reply is longer, or what the system or TLS says.
        """
        assert self._done is None
        self._done = done
        self._limit = self._left = limit
        self.fresh = False
        early, self._early = self._early, b""
        if self._transport is not None:
            # Where it is closing by now, why is told with its end.
            self._transport.write(octets)
        if early:
            self.data_received(early)
        if self._transport is None:
            self._finish()

    def abort(self) -> None:
        """Close it now, without the leave-taking of TLS; what was asked stays without an end."""
        self._done = None
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio calls -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what to write to; who wanted it may have gone."""
        self._transport = cast(asyncio.Transport, transport)
        if self._aborted:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what belongs to the reply."""
        if self._done is None:
            self._early += data
            if not self.fresh or len(self._early) > EARLY:
                self.abort()
            return
        if self._reply is None:
            self._reply = HttpReply(most=HEAD, least=CHUNK)
        try:
            part = self._reply.feed(data)
        except BadReply:
            self._fail(Lost("the reply is not HTTP"))
            return
        self._left -= len(part)
        if self._left < 0:
            # Reading on to keep the connection would be what a hostile one wants.
            self._fail(ValueError(f"a reply of more than {self._limit} octets"))
            return
        self._body += part
        if self._reply.whole:
            self._succeed(self._reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Have who waits hear of it, or have the reply where its end is that of the connection."""
        if self._transport is not None:
            # Python 3.10 would warn of one of TLS that the other side closed.
            self._transport.abort()
        self._transport, self._error = None, exc
        self._finish()
        self._ended(self)

    def _finish(self) -> None:
        """Have it end as the connection did, unless the reply is whole."""
        reply = self._reply
        if self._done is None:
            return
        if self._error is not None or reply is None:
            self._fail(self._error or Silent())
            return
        try:
            reply.end()
        except BadReply:
            self._fail(Lost("connection closed in the middle of the reply"))
        else:
            self._succeed(reply)

    def _succeed(self, reply: HttpReply) -> None:
        done, self._done = self._done, None
        answer = Answer(reply.status, reply.headers, bytes(self._body))
        self._reply, self._body = None, bytearray()
        if not reply.lasting:
            self.abort()
        if done is not None and not done.done():
            done.set_result(answer)

    def _fail(self, error: Exception) -> None:
        done = self._done
        self._reply, self._body = None, bytearray()
        self.abort()
        if done is not None and not done.done():
            done.set_exception(error)
