"""What clients are told over TCP, whatever connection they use: whole answers, or why not.

To age the TTLs of a long answer takes a tenth of a millisecond, and a client may have thousands of
queries for it on their way: what is asked again within a second is made once, and turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice

from consulfwd.core.access import Access, packed
from consulfwd.core.ask import Ask
from consulfwd.core.cache import Entry
from consulfwd.core.limits import one_client
from consulfwd.dns import const, replies
from consulfwd.dns.cookies import MARK
from consulfwd.dns.edns import asks_keepalive
from consulfwd.dns.message import Message
from consulfwd.dns.turns import in_turn, plan_of
from consulfwd.errors import WireError
from consulfwd.net.answers import prohibited
from consulfwd.net.front import Front
from consulfwd.net.noting import MarkedId, Noted, Observer, noted_of, opened_of
from consulfwd.net.waiter import Result, Waiter

# How much (octets) is kept ready for those who ask the same again.
MAX_READY = 8 << 20
# What an answer takes there: so much by itself, and so many times its length.
NOTED, TIMES = 1024, 4
# Of one that is not turned round but put together so many orders are kept, and given again.
KEPT = 8
_PART = (const.EDE_NETWORK, "a part of the answer is all that could be had")
# A question, whether it asks how long the connection is kept, and the ID of the query.
Asked = tuple[Ask, bool, bytes]
Address = tuple[str, int]


class TcpService:
    """Reads queries and makes replies.

    Of a reply that is ready the table decides each time whether its entry may be given, so nothing
    else can be out of date here than its TTLs: that is why it is good for a second only.
    """

    def __init__(self, front: Front, access: Access, observer: Observer | None) -> None:
        self.table = front.table
        self.observer: Observer | None = None
        self._access = access
        self._questions = front.questions
        self._cache = front.table.cache
        self._clock = front.table.clock
        self._rng = front.rng
        self._jar = front.jar
        self._warmth = front.warmth
        # By query: the message, when it was stored, and its answers in turn.
        self._ready: dict[bytes, tuple[Message, float, Iterator[bytes]]] = {}
        self._octets = 0
        self._warmth.on_clear(self.clear)
        self.use(observer)

    def use(self, observer: Observer | None) -> None:
        """Have an observer told of queries from now on, or nobody: then nothing is done for it."""
        if self.observer is None and observer is not None:
            self.read, self.reply = self._read_noted, self._reply_noted  # type: ignore[method-assign]
        elif self.observer is not None and observer is None:
            del self.read, self.reply
        self.observer = observer

    def allows(self, host: str) -> bool:
        """Return whether who connects from there may ask."""
        return self._access.allows(host)

    def read(self, data: bytes, peer: Address, at: Address) -> Asked | bytes | None:
        """Return the question in a message, or what to reply at once (b"" for nothing).

        None when it is no query at all: whoever sent that does not speak DNS. It came from `peer`
        to `at`.
        """
        if self._jar.on and MARK in data and self._jar.serves(peer[0]):
            return self._read_with_cookie(data, peer)
        return self._read(data, peer)

    def _read_with_cookie(self, data: bytes, peer: Address) -> Asked | bytes | None:
        try:
            opened = self._jar.open(data, peer[0], replies.STREAM_LIMIT)
        except WireError:
            return replies.refuse(data, const.FORMERR) if self.allows(peer[0]) else b""
        if opened is None:
            return self._read(data, peer)
        if not opened.asks:
            return opened.alone() if self.allows(peer[0]) else b""
        read = self._read(opened.query, peer)
        if not isinstance(read, tuple):
            return opened.put(read) if read else read
        ident = MarkedId(data[:2])
        ident.opened = opened
        return read[0], read[1], ident

    def _read(self, data: bytes, peer: Address) -> Asked | bytes | None:
        allowed = self._access.allows(peer[0])
        query = None
        try:
            if not allowed:
                # What is prepared for clients is not a stranger's to fill.
                return prohibited(data, self._questions.read(data))
            ask = self._questions.prepare(data)
            query = ask.query
            keepalive = query.edns is not None and asks_keepalive(query.edns)
        except WireError as error:
            if error.rcode is None:
                return None
            return replies.refuse(data, error.rcode, query) if allowed else b""
        return ask, keepalive, data[:2]

    def _read_noted(self, data: bytes, peer: Address, at: Address) -> Asked | bytes | None:
        read = TcpService.read(self, data, peer, at)
        observer = self.observer
        if observer is None or not read or not observer.take(1):
            return read
        noted = Noted(data, peer, at, "tcp", self._clock.wall(), self._clock.now())
        if isinstance(read, bytes):
            self._hand_over(noted, read)
            return read
        ident = MarkedId(data[:2])
        ident.noted, ident.opened = noted, opened_of(read[2])
        return read[0], read[1], ident

    def _reply_noted(self, ask: Ask, ident: bytes, result: Result, more: bytes = b"") -> bytes:
        reply = TcpService.reply(self, ask, ident, result, more)
        noted = noted_of(ident)
        if noted is not None:
            noted.delivered(ask, result)
            self._hand_over(noted, reply)
        return reply

    def _hand_over(self, noted: Noted, reply: bytes) -> None:
        noted.reply = reply
        noted.took = self._clock.now() - noted.since
        if self.observer is not None:
            self.observer.note(noted)

    def reply(self, ask: Ask, ident: bytes, result: Result, more: bytes = b"") -> bytes:
        """Return the reply to `ask` with this ID; `more` are EDNS options beside the usual ones."""
        if result.message.truncated:
            # Over TCP there is nothing more to be had: a part would be taken for the whole.
            result = Result(replies.empty(ask.question, const.SERVFAIL), "nobody", ede=_PART)
        entry = result.entry
        options = b""
        if entry is not None and not result.stale:
            reply = ident + self._fresh(ask, entry)
        else:
            old = self._cache.stale_body(entry) if entry is not None else None
            options = result.options()
            reply = replies.respond(
                ask.query, ident, result.message, replies.STREAM_LIMIT, body=old, options=options
            )
        if more:
            reply = replies.with_options(reply, len(options), more)
        opened = opened_of(ident) if self._jar.on else None
        return reply if opened is None else opened.put(reply)

    def _fresh(self, ask: Ask, entry: Entry) -> bytes:
        """Return the reply for a cached answer, without its ID."""
        message, stored_at = entry.message, entry.stored_at
        ready = self._ready.get(ask.raw)
        if ready is not None and ready[0] is message and ready[1] == stored_at:
            for reply in ready[2]:
                return reply
            # An error of ours has ended them.
        body = self._cache.body(entry, self._clock.now())
        turns = in_turn(ask.query, message, replies.STREAM_LIMIT, body, self._rng)
        times = TIMES
        # Of more records not each would come first.
        few = 0 < message.answers <= KEPT
        if few and not isinstance(plan_of(message, ask.question), int):
            turns = cycle(islice(turns, KEPT // message.answers * message.answers))
            times += KEPT
        octets = NOTED + len(ask.raw) + times * len(body)
        if self._octets + octets > MAX_READY:
            self.clear()
        self._octets += octets
        self._ready[ask.raw] = (message, stored_at, turns)
        return next(turns)

    def clear(self) -> None:
        """Forget what is ready: TTLs have gone down, or something changed."""
        self._ready.clear()
        self._octets = 0

    def close(self) -> None:
        """Be told of no more seconds."""
        self._warmth.forget(self.clear)


class TcpWaiter(Waiter):
    """A client that waits for a reply; `client_id` is the ID it chose, `give` takes the result.

    With `keepalive` it asked how long the connection is kept; `host` is its address.
    """

    __slots__ = ("_give", "client_id", "host", "keepalive", "listener")

    def __init__(
        self,
        listener: object,
        give: Callable[[TcpWaiter, Result], None],
        ask: Ask,
        client_id: bytes,
        keepalive: bool,
        host: str,
    ) -> None:
        super().__init__(ask)
        self.listener = listener
        self.client_id = client_id
        self.keepalive = keepalive
        self.host = host
        self._give = give

    def whose(self) -> bytes | str:
        """Return what stands for the client, as for its datagrams."""
        return one_client(packed(self.host))

    def deliver(self, result: Result) -> None:
        """Send the reply, if the client is still there."""
        self._give(self, result)
