"""Resolving one name from Python or the command line, through the same engine as the server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from consulfwd.config import Recursor, Settings
from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempts
from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.routes import Kind, Route, Routes, describe
from consulfwd.core.telling import standing
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const, replies
from consulfwd.dns.edns import Edns, read_ede
from consulfwd.dns.names import ROOT, from_text, to_text
from consulfwd.dns.records import read_records
from consulfwd.dns.text import Record, to_record
from consulfwd.dns.wire import Query
from consulfwd.errors import UsageError, WireError
from consulfwd.net import host
from consulfwd.net.flight import Flight
from consulfwd.net.resolver import Engine
from consulfwd.net.routing import build_routes, cache_limits, guard_of, probe_question
from consulfwd.net.waiter import Result, Waiter


@dataclass(frozen=True)
class AttemptReport:
    """One attempt: whom, over what, why then, and what came of it; `about` which name.

    `at` and `took` are in seconds, `at` from the start; `took` is None without a result.
    """

    upstream: str
    transport: str
    why: str
    at: float
    took: float | None
    result: str
    size: int
    decided: str
    about: str = ""


@dataclass(frozen=True)
class Answer:
    """What a question was answered with.

    records     the Answer section; `authority` and `additional` the other two
    ttl         seconds this may be reused for, the smallest of the answer's
    source      who answered: an upstream's name, "cache", "here", or "nobody"
    rule        the route that matched; `order` the upstreams in the order they were to be asked
    aliases     the names that aliases led to by other rules, with the rule for each
    ede         the extended error (code, text) that came with the answer, or None
    elapsed     seconds
    """

    name: str
    type: str
    rcode: str
    records: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    ttl: int
    source: str
    rule: str
    order: tuple[tuple[str, str], ...]
    attempts: tuple[AttemptReport, ...]
    elapsed: float
    stale: bool = False
    truncated: bool = False
    ede: tuple[int, str] | None = field(default=None)
    aliases: tuple[tuple[str, str], ...] = ()

    @property
    def resolved(self) -> bool:
        """Return whether upstreams gave a definite answer, be it that there is none."""
        return self.rcode in ("NOERROR", "NXDOMAIN")


class Resolver:
    """Resolves names by the settings; an async context manager.

    server  ask this DNS server instead of routing by the settings
    stream  use TCP for everything
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        server: Recursor | None = None,
        stream: bool = False,
    ) -> None:
        self.settings = settings if settings is not None else Settings()
        self._server = server
        self._stream = stream
        self._engine: Engine | None = None

    async def __aenter__(self) -> Resolver:
        settings = self.settings
        health = Health()
        self._engine = Engine(
            self._routes(health),
            health,
            cache_limits(settings),
            deadline=settings.query.deadline,
            recursor_deadline=settings.query.for_recursors,
            loop=asyncio.get_running_loop(),
            rng=random.Random(),
            probe_question=probe_question(settings),
        )
        self._engine.guard_by(guard_of(settings))
        self._engine.channels.spell(mixed_case=settings.query.mixed_case)
        if self._stream:
            for upstream in self._engine.upstreams():
                if upstream.transport == "udp":
                    upstream.transport = "tcp"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            await asyncio.sleep(0)

    def _routes(self, health: Health) -> Routes:
        settings = self.settings
        server = self._server
        if server is not None:
            upstream = Upstream(
                server.name,
                server.address,
                server.port,
                is_agent=False,
                transport=server.transport,
                tls_name=server.tls_name,
            )
            group = Group("--server", [upstream], "ordered", health)
            return Routes([Route(ROOT, Kind.SERVER, (group,), "--server")])
        recursors = settings.recursors
        if recursors is None:
            follow = host.ResolvConf(settings.resolv_conf, ())
            follow.changed()
            recursors = tuple(follow.recursors)
        return build_routes(settings, recursors, health)

    async def resolve(self, name: str, rtype: str = "A", *, do: bool = False) -> Answer:
        """Return the answer to one question.

        `rtype` is a mnemonic or TYPE<n>. Raises UsageError for a name or type that is none. A
        name that cannot be resolved is no exception: `rcode` says SERVFAIL, `ede` why.
        """
        engine = self._engine
        if engine is None:
            raise RuntimeError("use the Resolver in an `async with` block")
        query = make_query(name, rtype, do=do)
        ask = engine.prepare_query(query)
        loop = asyncio.get_running_loop()
        waiter = _Future(ask, loop)
        started = engine.clock.now()
        order = tuple((one.name, standing(one)) for one in ask.route.plan())
        engine.submit(ask, waiter, traced=True)
        result = await waiter.future
        return _answer(engine, ask, result, started, order)


def make_query(name: str, rtype: str, *, do: bool = False) -> Query:
    """Return a query as a client would send it. Raises UsageError for a bad name or type."""
    number = const.type_number(rtype)
    if number is None:
        raise UsageError(
            f"there is no record type {rtype!r} (A, AAAA, SRV, PTR, TXT, ... or TYPE65)"
        )
    try:
        wire = from_text(name)
    except WireError as error:
        raise UsageError(str(error)) from None
    question = wire + number.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
    edns = Edns(replies.OWN_SIZE, 0, do, 0, b"")
    return Query(const.RD, question, wire.lower(), number, const.IN, edns)


class _Future(Waiter):
    """A waiter that is a future."""

    __slots__ = ("future",)

    traced = True

    def __init__(self, ask: Ask, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(ask)
        self.future: asyncio.Future[Result] = loop.create_future()

    def deliver(self, result: Result) -> None:
        if not self.future.done():
            self.future.set_result(result)


def _answer(
    engine: Engine,
    ask: Ask,
    result: Result,
    started: float,
    order: tuple[tuple[str, str], ...],
) -> Answer:
    now = engine.clock.now()
    message = result.message
    body = message.body
    if result.entry is not None:
        body = (
            engine.cache.stale_body(result.entry)
            if result.stale
            else engine.cache.body(result.entry, now)
        )
    raw = replies.respond(ask.query, b"\0\0", message, replies.STREAM_LIMIT, body=body)
    sections = [
        tuple(to_record(record) for record in section)
        for section in read_records(raw, 12 + len(ask.query.question))
    ]
    return Answer(
        name=to_text(ask.query.question[:-4]),
        type=const.type_text(ask.qtype),
        rcode=const.rcode_text(message.rcode),
        records=sections[0],
        authority=sections[1],
        additional=sections[2],
        ttl=min((record.ttl for record in sections[0]), default=0),
        source=result.source,
        rule=describe(ask.route),
        order=order,
        attempts=tuple(_attempts(result.flight, started)),
        elapsed=now - started,
        stale=result.stale,
        truncated=message.truncated,
        ede=result.ede or read_ede(message.edns),
        aliases=tuple(_aliases(result.flight)),
    )


def _aliases(flight: Attempts | None) -> Iterator[tuple[str, str]]:
    while isinstance(flight, Flight) and flight.target is not None:
        yield to_text(flight.target.name), describe(flight.target.route)
        flight = flight.onward


def _attempts(flight: Attempts | None, started: float) -> Iterator[AttemptReport]:
    """Return the attempts for a question, behind those it came after, before those it led to."""
    if not isinstance(flight, Flight):
        return
    yield from _attempts(flight.before, started)
    for one in flight.attempts:
        transport = one.upstream.transport
        if transport != "tls":
            transport = "tcp" if one.stream else "udp"
        yield AttemptReport(
            upstream=one.upstream.name,
            transport=transport,
            why=one.why,
            at=one.sent_at - started,
            took=one.took,
            result=one.result or "no reply",
            size=one.size,
            decided=one.decided or ("still open when the answer came" if not one.result else ""),
            about=to_text(flight.ask.name),
        )
    yield from _attempts(flight.onward, started)
