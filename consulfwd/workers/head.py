"""The head: a server that answers nobody itself, but binds, watches Consul and looks after workers.

What belongs here: workers begun, told, replaced. The addresses, agents,
watches and settings are a server's as ever (`server.Server`); what is seen of it all is in
`watched`, the exchange of the whole program in `upgrade`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from consulfwd.config import Endpoint, Settings
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.upstreams import Upstream
from consulfwd.errors import StartError
from consulfwd.kept import Kept, name_of
from consulfwd.net.binding import Pair
from consulfwd.net.clock import Clock
from consulfwd.net.listening import Listeners
from consulfwd.net.noting import Observer
from consulfwd.net.reuse import Reuse
from consulfwd.ops.querylog.control import QueryLog
from consulfwd.process import processes_for
from consulfwd.server import DRAIN_SECONDS, Moving, Server
from consulfwd.words import duration
from consulfwd.workers.child import Child
from consulfwd.workers.desk import Silent
from consulfwd.workers.line import Message
from consulfwd.workers.merging import Past
from consulfwd.workers.parts import share
from consulfwd.workers.sharing import Shared
from consulfwd.workers.telling import Once, is_of_a_query
from consulfwd.workers.worker import Key, Start

if TYPE_CHECKING:
    from consulfwd.workers.moving import Telling

log = logging.getLogger("consulfwd")

# So long (seconds) a worker may take to begin, say nothing before it counts as hung, and take
# other settings.
BEGIN, HANG, RELOAD = 20.0, 10.0, 15.0
# So long (seconds) an upgrade waits until checks have ended and what they found is written down.
HAND_OVER = 5.0
# One that ends within so long (seconds) of its beginning is replaced at once, and from then on
# after ever longer pauses.
SHORT_LIVED, PAUSE, LONGEST_PAUSE = 5.0, 0.1, 5.0
LOOK_EVERY = 0.5
# Among those that say something; and the number of a worker that is nobody's yet.
HEAD, SPARE = -1, -2


class _Held:
    """All sockets of an address, in the place of its listeners: workers read them."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self.service = self

    def use(self, *_: object) -> None:
        """Do nothing: nobody is listened to here."""

    def choose_way(self) -> None:
        """Do nothing: nothing is sent here."""

    def stop_reading(self) -> None:
        """Do nothing: nothing is read here."""

    def close(self) -> None:
        """Let go of the sockets."""
        for pair in self.pairs:
            for sock in pair:
                sock.close()


class _NoQueries(QueryLog):
    """Nobody asks the head: lines about queries are the workers'."""

    def use(self, settings: Settings) -> None:
        """Open nothing."""


class Head(Server):
    """A server whose queries are answered by `count` other processes."""

    def __init__(
        self,
        settings: Settings,
        *,
        count: int,
        kept: Kept,
        room: Callable[[int], tuple[int, int]],
    ) -> None:
        kept.count = count
        super().__init__(settings, kept=kept, room=room)
        self.querylog = _NoQueries(self._observe, random.Random())
        self.count = count
        self.children: dict[int, Child] = {}
        self.replaced = 0
        self.past = Past()
        self.tails: dict[int, tuple[Callable[[bytes], None], float]] = {}
        # The last order about the query log, for workers that begin after it.
        self.ordered: dict[str, Any] | None = None
        self._kept = kept
        self._poor: dict[Key, str] = {}
        self._reloads: dict[tuple[Child, int], asyncio.Future[str]] = {}
        self._said = Once()
        self._pauses: dict[int, float] = {}
        # One that has begun but for its settings and sockets: the next to take another's place.
        self._spare: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: asyncio.TimerHandle | None = None
        self._moves: Telling | None = None

    # -- as a server ----------------------------------------------------------------------------

    async def start(self, bound: Callable[[], None] = lambda: None) -> None:
        """Bind the addresses and begin to answer, by workers. Raises StartError."""
        for name in ("consulfwd", "consulfwd.resolver"):
            logging.getLogger(name).addFilter(self._note_own)
        await super().start(bound)
        self._answers = False
        self.engine.jar.replaced = lambda: self._to_all(("secrets", self.engine.jar.secrets))
        children = [self._begin(number) for number in range(self.count)]
        faults = [fault for one in children if (fault := await self._begun(one))]
        if faults:
            await self.stop()
            raise StartError(f"workers: {faults[0]}")
        self._look_after()
        self._answers = True
        self._spare = Child(SPARE, self._heard, self._gone)
        log.info("%d workers answer", self.count)

    def _note_own(self, record: logging.LogRecord) -> bool:
        """Take note of what this process says: workers may say the same."""
        if not hasattr(record, "by_worker"):
            text = record.getMessage()
            self._said.is_news(HEAD, record.name, record.levelno, text, time.monotonic())
        return True

    async def _listen(self, pair: Pair) -> Listeners:
        held = cast("Any", _Held(self._kept.pairs(pair)))
        return held, held

    def _observe(self, observer: Observer | None) -> None:
        """Do nothing: workers have their own."""

    def _reuse(self, rules: WatchLimits, domains: list[bytes]) -> Reuse:
        return Shared(self._to_all, rules, self.engine, domains)

    def _moving_by(self, settings: Settings) -> Moving | None:
        moving = super()._moving_by(settings)
        if moving is not None and moving.book is not None:
            if self._moves is None:
                from consulfwd.workers.moving import Telling

                self._moves = Telling(self._to_each, asyncio.get_running_loop(), Clock().now)
            self._moves.use(moving.book)
        elif self._moves is not None:
            self._moves.close()
            self._moves = None
        return moving

    async def hand_over(self) -> None:
        """Write down what the next program is to know."""
        if self._moving is not None:
            stopping = asyncio.ensure_future(self._whatever(self._moving.stop()))
            await asyncio.wait({stopping}, timeout=HAND_OVER)

    def _rank(self, upstream: Upstream, reason: str) -> None:
        super()._rank(upstream, reason)
        if self._poor.get(upstream.key, "") != reason:
            self._poor[upstream.key] = reason
            self._to_all(("poor", {upstream.key: reason}))

    def _agents_changed(self) -> None:
        super()._agents_changed()
        self._to_all(("agents_in_force", self._overseer.in_force(self.settings)))

    async def _look(self) -> None:
        before = set(self._listening.listeners)
        await super()._look()
        for endpoint in self._listening.listeners.keys() - before:
            for child in list(self.children.values()):
                with suppress(Silent):
                    self._hand(child, endpoint)
        self._to_all(("came",))

    async def _reload(self, settings: Settings) -> None:
        if self._stopped:
            return
        if processes_for(settings.workers) != self.count:
            log.warning(
                "workers: there are %d until consulfwd is restarted, or told to renew itself"
                " (SIGUSR2)",
                self.count,
            )
        before = set(self._listening.listeners)
        said = self.settings.log.queries, self.settings.querylog
        await super()._reload(settings)
        if said != (settings.log.queries, settings.querylog):
            self.ordered = None
        self._poor = {key: why for key, why in self._poor.items() if key in self._upstreams()}
        came = self._listening.listeners.keys() - before
        await asyncio.gather(*(self._reload_of(one, came) for one in self._living()))

    async def _stop(self) -> None:
        self._stopped = True
        if self._looks is not None:
            self._looks.cancel()
        if self._moves is not None:
            self._moves.close()
        for task in list(self._tasks):
            task.cancel()
        children = self._everyone()
        for child in children:
            child.leave()
        ends = time.monotonic() + min(DRAIN_SECONDS, self._drain_seconds() + 1.0)
        while time.monotonic() < ends and any(one.running for one in children):
            await asyncio.sleep(0.02)
        for child in children:
            child.how_it_ended()
            child.close()
        for name in ("consulfwd", "consulfwd.resolver"):
            logging.getLogger(name).removeFilter(self._note_own)
        await super()._stop()

    # -- workers --------------------------------------------------------------------------------

    def _everyone(self) -> list[Child]:
        return [*self.children.values(), *filter(None, [self._spare])]

    def _living(self) -> list[Child]:
        return [one for one in self.children.values() if one.answers]

    def _to_all(self, message: Message) -> None:
        for child in self._living():
            child.line.send(message)

    def _to_each(self, message: Message) -> None:
        """Tell those that begin, too."""
        for child in self.children.values():
            child.line.send(message)

    def _now(self) -> Start:
        missing = {one: f"cannot listen on {one}" for one in self.missing}
        in_force = self._overseer.in_force(self.settings)
        drained = dict(self._health.drained)
        return Start(
            share(self.settings, self.count),
            in_force,
            missing,
            dict(self._poor),
            drained,
            self.engine.jar.secrets,
            {} if self._moves is None else self._moves.all(),
        )

    def _begin(self, number: int) -> Child:
        """Begin a worker; it is the one of its number once it is ready."""
        child = Child(number, self._heard, self._gone)
        self.children.setdefault(number, child)
        return child

    def _supply(self, child: Child) -> None:
        """Give a worker's process, which is there by now, what it begins with."""
        try:
            for endpoint in self._listening.listeners:
                self._hand(child, endpoint)
            child.put("begin", self._now())
        except Silent as error:
            self._failed(child, str(error))
            child.kill()

    def _hand(self, child: Child, endpoint: Endpoint) -> None:
        held = cast("Any", self._listening.listeners[endpoint][0])
        child.hand(endpoint, held.pairs[child.number])

    async def _begun(self, child: Child) -> str:
        """Wait until a worker answers; return why it does not, "" if it does."""
        await asyncio.wait({child.ready}, timeout=BEGIN)
        if child.ready.done():
            return child.ready.result()
        self._failed(child, f"worker {child.number + 1} did not begin in {BEGIN:g} s")
        child.kill()
        return child.ready.result()

    def _failed(self, child: Child, why: str) -> None:
        if not child.ready.done():
            child.ready.set_result(why)

    def _ready(self, child: Child) -> None:
        """Tell a worker that begins what it has to know beside its settings."""
        self._failed(child, "")
        self._tell_known(child)
        try:
            if self.ordered is not None:
                child.ask("order", "querylog", self.ordered)
            for number, (_, sample) in self.tails.items():
                child.ask("tail", number, sample)
        except Exception as error:
            log.warning("worker %d: %s", child.number + 1, error)

    def _tell_known(self, child: Child) -> None:
        child.line.send(("secrets", self.engine.jar.secrets))
        if self._moves is not None:
            child.line.send(self._moves.whole())
        if isinstance(self.engine.reuse, Shared):
            for message in self.engine.reuse.known():
                child.line.send(message)

    def _heard(self, child: Child, message: Message) -> None:
        match message:
            case ("fetched", fetched):
                if isinstance(self.engine.reuse, Shared):
                    self.engine.reuse.fetched_elsewhere(fetched, child.line.send)
            case ("beat", counters, heard, over, last_over):
                child.beat_at = time.monotonic()
                child.counters = counters
                if over != child.over:
                    child.over, child.last_over = over, last_over
                    self._access.limiter.last = last_over
                upstreams = self._upstreams()
                for key, at in heard.items():
                    if key in upstreams and at > upstreams[key].last_reply:
                        upstreams[key].last_reply = at
            case ("health", _, _):
                for other in self._living():
                    if other is not child:
                        other.line.send(message)
            case ("log", name, level, text, fields):
                news = is_of_a_query(fields) or self._said.is_news(
                    child.number, name, level, text, time.monotonic()
                )
                if news:
                    extra = {"by_worker": child.number}
                    extra |= {} if fields is None else {"fields": fields}
                    logging.getLogger(name).log(level, "%s", text, extra=extra)
            case ("queried", number, line) if number in self.tails:
                self.tails[number][0](line)
            case ("here",):
                child.here = True
                if child.number != SPARE:
                    self._supply(child)
            case ("ready",):
                self._ready(child)
            case ("failed", why):
                log.error("worker %d cannot begin: %s", child.number + 1, why)
                self._failed(child, why)
            case ("reloaded", number, fault):
                waiting = self._reloads.pop((child, number), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(fault)

    def _gone(self, child: Child) -> None:
        """Take note that a worker's process ended, and have another in its place."""
        how = child.how_it_ended()
        self._failed(child, f"worker {child.number + 1} ended as it began ({how})")
        child.close()
        self.past.add(child.counters, child.admin, child.seen)
        self.past.over += child.over
        if child is self._spare:
            self._spare = None
            self._do(self._make_spare(LONGEST_PAUSE))
        if self.children.get(child.number) is not child:
            return
        del self.children[child.number]
        if self._stopped or not self._answers:
            return
        self.replaced += 1
        log.error("worker %d ended (%s): another takes its place", child.number + 1, how)
        self._do(self._mend(child))

    async def _mend(self, gone: Child) -> None:
        pause = self._pauses.pop(gone.number, 0.0)
        if time.monotonic() - gone.began < SHORT_LIVED:
            self._pauses[gone.number] = min(max(2 * pause, PAUSE), LONGEST_PAUSE)
            await asyncio.sleep(pause)
        began = time.monotonic()
        child, self._spare = self._spare, None
        if child is not None and child.here:
            child.number = gone.number
            self.children[gone.number] = child
            self._supply(child)
        else:
            self._spare, child = child, self._begin(gone.number)
        if not await self._begun(child):
            took = duration(time.monotonic() - began)
            log.info("worker %d answers again after %s", child.number + 1, took)
        if self._spare is None:
            await self._make_spare()

    async def _make_spare(self, pause: float = 0.0) -> None:
        await asyncio.sleep(pause)
        if self._spare is None and not self._stopped:
            self._spare = Child(SPARE, self._heard, self._gone)

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_limited(self) -> None:
        living = self.children.values()
        # Nobody asks the head: its own limiter stands for all workers'.
        self._access.limiter.over_in_all = self.past.over + sum(one.over for one in living)
        shielded = [self.past.counters, *(one.counters for one in living)]
        total = sum(int(one.get("shielded", 0)) for one in shielded)
        self._limited.look(total, self.engine.clock.now())

    def _look_after(self) -> None:
        """End workers that hang: queries wait in their sockets for the next."""
        self._looks = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_after)
        now = time.monotonic()
        for child in self._living():
            if now - child.beat_at > HANG:
                log.error("worker %d hangs: it is ended", child.number + 1)
                child.beat_at = now
                child.kill()

    async def _reload_of(self, child: Child, came: set[Endpoint]) -> None:
        """Have a worker take the settings in force; one that cannot is replaced."""
        number = time.monotonic_ns()
        waiting = self._reloads[child, number] = asyncio.get_running_loop().create_future()
        try:
            for endpoint in came:
                self._hand(child, endpoint)
            child.line.send(("reload", number, self._now()))
            fault = await asyncio.wait_for(waiting, RELOAD)
        except Silent as error:
            fault = str(error)
        except asyncio.TimeoutError:
            fault = f"not in {RELOAD:g} s"
        if fault:
            log.error("worker %d did not take the settings: %s", child.number + 1, fault)
            child.kill()
        else:
            self._tell_known(child)

    # -- the next program -----------------------------------------------------------------------

    def kept_over_exec(self) -> tuple[list[socket.socket], list[str]]:
        """Return every socket that is listened on, and what the service manager calls each."""
        sockets, names = [], []
        for endpoint, (held, _) in self._listening.listeners.items():
            for number, pair in enumerate(cast("Any", held).pairs):
                for sock in pair:
                    sockets.append(sock)
                    names.append(name_of(endpoint, number))
        return sockets, names

    def lines_over_exec(self) -> list[tuple[int, int]]:
        """Return each worker's process and the number of its line."""
        return [(one.pid, one.line.number) for one in self._everyone()]
