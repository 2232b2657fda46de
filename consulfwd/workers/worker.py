"""A worker: a server that answers on sockets handed to it, and knows of Consul what it is told.

What belongs here: the process from its first message to its end, and what its server has of the
head instead of its own: sockets (`Handed`), agents and how good their data is (`_Instructed`),
watches (`sharing.Mirror`). It ends when the head does, having answered what it had read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from consulfwd.config import Endpoint, Settings
from consulfwd.consul.overseer import Overseer
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.errors import ConsulfwdError, StartError
from consulfwd.net.binding import Bound, Pair
from consulfwd.net.clock import Clock
from consulfwd.ops import resolver, wrong
from consulfwd.ops.orders import Orders
from consulfwd.process import make_room, quieten_collector, take_short_turns
from consulfwd.server import Moving, Server
from consulfwd.workers.desk import Asked, Replier
from consulfwd.workers.line import Line, Message
from consulfwd.workers.sharing import Mirror

if TYPE_CHECKING:
    from consulfwd.failover.told import Records, Told

log = logging.getLogger("consulfwd")

Key = tuple[str, str, int]

# How often (seconds) the head hears that the event loop turns.
BEAT = 0.5


class Start(NamedTuple):
    """All that a worker begins with, or goes by from now on.

    `in_force` are the settings with the agents of the catalog; `missing` says why an address is
    not there; `poor` whose data is old, and why; `drained` who is taken out for work; by `secrets`
    all make cookies; `records` is how names that move with health are.
    """

    settings: Settings
    in_force: Settings
    missing: dict[Endpoint, str]
    poor: dict[Key, str]
    drained: dict[Key, str]
    secrets: tuple[bytes, ...]
    records: Mapping[str, Told]


class Handed:
    """Sockets that came from the head, each until it is bound."""

    def __init__(self) -> None:
        self.there: dict[Endpoint, Pair] = {}
        self.missing: dict[Endpoint, str] = {}

    def hold(self, endpoint: Endpoint, sockets: Iterable[socket.socket]) -> None:
        """Take the sockets of an address."""
        udp, tcp = sockets
        self.let_go(endpoint)
        self.there[endpoint] = udp, tcp

    def bind(self, endpoints: Iterable[Endpoint]) -> Bound:
        """Return the sockets that are there, and why the others are not."""
        bound = Bound({}, {})
        for one in endpoints:
            pair = self.there.pop(one, None)
            if pair is not None:
                bound.pairs[one] = pair
            else:
                bound.missing[one] = self.missing.get(one, f"cannot listen on {one}")
        return bound

    def let_go(self, endpoint: Endpoint) -> None:
        """Hold the sockets of an address no longer."""
        for sock in self.there.pop(endpoint, ()):
            sock.close()


class _Instructed(Overseer):
    """Who asks nobody: the head does."""

    def __init__(self, in_force: Settings) -> None:
        super().__init__(lambda *_: None, lambda: None, host="", rng=random.Random())
        self.now_in_force = in_force

    def use(self, settings: Settings) -> None:
        """Do nothing: nobody is looked after."""

    def in_force(self, settings: Settings) -> Settings:
        """Return what the head said."""
        return self.now_in_force


class WorkerServer(Server):
    """A server with the head's eyes. `tell` reaches the head."""

    def __init__(
        self,
        start: Start,
        handed: Handed,
        tell: Callable[[Message], None],
        records: Callable[[], Records],
    ) -> None:
        super().__init__(start.settings, kept=handed, room=make_room)
        self._records = records
        self._handed = handed
        self._told = _Instructed(start.in_force)
        self._overseer = self._told
        self._head = tell
        self._health.drained.update(start.drained)
        self._poor = start.poor
        self._given = start.secrets

    async def start(self, bound: Callable[[], None] = lambda: None) -> None:
        """Begin to answer. Raises StartError."""
        await super().start(bound)
        self.engine.prober.on_change = self._changed
        self.poor(self._poor)

    def _secrets(self, settings: Settings) -> tuple[bytes, ...]:
        return self._given

    def _mover(self, settings: Settings) -> Moving:
        from consulfwd.workers.moving import Following

        return Following(settings, self._records(), Clock().wall, self._rng)

    def bake_by(self, secrets: tuple[bytes, ...]) -> None:
        """Make cookies by other secrets from now on, as all workers do."""
        self._given = secrets
        self.engine.jar.use(self.settings.cookies.enabled, secrets)

    def _tell_limited(self) -> None:
        """Do nothing: the head tells of all together."""

    @property
    def over(self) -> tuple[int, bytes]:
        """Return how many queries were over their clients' limits, and of whom the last one."""
        limiter = self._access.limiter
        return limiter.over_in_all, limiter.last

    def _watch_by(self, rules: WatchLimits, domains: list[bytes]) -> None:
        self.engine.reuse_by(Mirror(self._head, rules, self.engine, domains))

    async def _unwatch(self) -> None:
        if self.engine.reuse is not None:
            self.engine.reuse.close()
            self.engine.reuse_by(None)

    def _changed(self, upstream: Upstream, state: State) -> None:
        self._head(("health", upstream.key, state))

    def elsewhere(self, key: Key, state: State) -> None:
        """Look at a server whose health another worker saw change."""
        upstream = self._upstreams().get(key)
        if upstream is not None and upstream.state is State.UP and state is not State.UP:
            self.engine.prober.probe(upstream)

    def poor(self, reasons: dict[Key, str]) -> None:
        """Take note whose data is old, or is not any more ("")."""
        known = self._upstreams()
        for key, reason in reasons.items():
            if key in known:
                self._rank(known[key], reason)

    async def go_by(self, start: Start) -> None:
        """Take other settings. Raises StartError; then the old ones stay in force."""
        self._told.now_in_force = start.in_force
        self._handed.missing = start.missing
        self._given = start.secrets
        await self.reload(start.settings)
        self.poor(start.poor)

    def agents(self, in_force: Settings) -> None:
        """Ask the agents that the head found in the catalog."""
        self._told.now_in_force = in_force
        self._agents_changed()

    async def came(self) -> None:
        """Listen on what was handed over."""
        self._new_here = True
        await self._look()

    def heard_from(self) -> dict[Key, float]:
        """Return when each agent was heard last."""
        return {one.key: one.last_reply for one in self.engine.upstreams() if one.is_agent}


class Worker:
    """The process of a worker, with its end of the line and of the desk."""

    def __init__(self, line: socket.socket, desk: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._begun: asyncio.Future[Start] = self._loop.create_future()
        self._handed = Handed()
        self._server: WorkerServer | None = None
        self._told_of: Records | None = None
        self._orders: Orders | None = None
        self._tails: dict[int, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._line = Line(line, self._loop, self._heard, self._ending.set)
        self._desk = Replier(desk, self._loop, self._answer)

    def log_to_head(self) -> None:
        """Have the head write the log: what all workers say is said once."""
        root = logging.getLogger()
        root.handlers[:] = [ToHead(self._say)]

    def _say(self, message: Message) -> None:
        try:
            self._loop.call_soon_threadsafe(lambda: self._line.send(message, may_be_lost=True))
        except RuntimeError:
            # The end.
            return

    async def run(self) -> int:
        """Serve until the head says so, or is gone; return the exit code."""
        ending: asyncio.Future[Any] = asyncio.ensure_future(self._ending.wait())
        self._line.send(("here",))
        waiting: set[asyncio.Future[Any]] = {ending, self._begun}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._begun.done():
            return 0
        start = self._begun.result()
        _log_from(start.settings.log.level)
        server = WorkerServer(start, self._handed, self._tell, self._records)
        try:
            await server.start()
        except ConsulfwdError as error:
            self._line.send(("failed", str(error)))
            self._line.flush()
            return error.exit_code
        self._server = server
        quieten_collector()
        take_short_turns()
        self._line.send(("ready",))
        self._beat()
        await ending
        await server.stop()
        # What it did in all is not to be lost.
        self._count()
        self._line.close()
        self._desk.close()
        return 0

    def _records(self) -> Records:
        """Return what is told of names that move."""
        if self._told_of is None:
            # Imported late: few hosts have such names.
            from consulfwd.failover.told import Records

            self._told_of = Records(Clock().now)
        return self._told_of

    def _tell(self, message: Message) -> None:
        self._line.send(message, may_be_lost=True)

    def _beat(self) -> None:
        if self._server is None or self._line.closed:
            return
        self._loop.call_later(BEAT, self._beat)
        self._count()

    def _count(self) -> None:
        if self._server is None:
            return
        server = self._server
        counters = dict(vars(server.engine.counters))
        self._tell(("beat", counters, server.heard_from(), *server.over))

    # -- what the head says ---------------------------------------------------------------------

    def _heard(self, message: Message) -> None:
        server = self._server
        match message:
            case ("end",):
                self._ending.set()
            case ("records", at, told, whole):
                # Before it answers, too: it may be newer than what it begins with.
                self._records().take(at, told, whole=whole)
            case ("reload", number, start) if server is not None:
                self._do(self._reload(server, number, start))
            case ("came",) if server is not None:
                self._do(server.came())
            case ("agents_in_force", in_force) if server is not None:
                server.agents(in_force)
            case ("poor", reasons) if server is not None:
                server.poor(reasons)
            case ("secrets", secrets) if server is not None:
                server.bake_by(secrets)
            case ("health", key, state) if server is not None:
                server.elsewhere(key, state)
            case _ if server is not None and isinstance(server.engine.reuse, Mirror):
                server.engine.reuse.heard(message)

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self, server: WorkerServer, number: int, start: Start) -> None:
        fault = ""
        try:
            async with self._changing:
                await server.go_by(start)
                _log_from(start.settings.log.level)
        except StartError as error:
            fault = str(error)
        except Exception as error:
            log.exception("the settings were not taken:")
            fault = f"{type(error).__name__}: {error}"
        self._line.send(("reloaded", number, fault))

    # -- what the head asks ---------------------------------------------------------------------

    def _answer(self, asked: Asked) -> Any:
        match asked.name, asked.values:
            case "hold", (endpoint,):
                self._handed.hold(endpoint, asked.sockets)
                return None
            case "begin", (start,):
                self._handed.missing = start.missing
                if start.records:
                    self._records().take(0.0, start.records)
                self._begun.set_result(start)
                return None
        server = self._server
        assert server is not None, "it has not begun"
        match asked.name, asked.values:
            case "see", (ahead, whole):
                server.engine.looked_at()
                look = resolver.see if whole else resolver.see_usual
                seen = look(server, ahead)
                faults = [*wrong.with_resolver(seen), *server.querylog.faults()]
                return seen, server.querylog.counters(), faults, server.querylog.told()
            case "order", (name, values):
                if self._orders is None:
                    self._orders = Orders(server)
                return self._orders.carry_out(name, values)
            case "tail", (number, sample):
                self._tails[number] = server.querylog.tail(
                    lambda line: self._say(("queried", number, line)), sample
                )
            case "untail", (number,):
                self._tails.pop(number, lambda: None)()
        return None


def _log_from(level: str) -> None:
    """Pass on what is at least of this level."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))


class ToHead(logging.Handler):
    """Log records as messages."""

    def __init__(self, say: Callable[[Message], None]) -> None:
        super().__init__()
        self._say = say
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Have the head log it."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self._plain.formatException(record.exc_info)}"
        fields = getattr(record, "fields", None)
        self._say(("log", record.name, record.levelno, text, fields))


async def serve(line: socket.socket, desk: socket.socket) -> int:
    """Be a worker on these sockets; return the exit code."""
    worker = Worker(line, desk)
    worker.log_to_head()
    return await worker.run()
