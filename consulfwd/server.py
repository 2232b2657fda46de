"""One running resolver: settings become sockets and tasks, are exchanged, and end in order.

What belongs here is putting parts together. How a query is answered is `net` and `core`; the
process around it is `daemon`'s.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from consulfwd.config import Agent, Endpoint, Recursor, Settings
from consulfwd.config.cookie_secrets import read_secrets
from consulfwd.config.sections import Network
from consulfwd.consul import renewal
from consulfwd.consul.overseer import Overseer
from consulfwd.consul.watch import Watcher
from consulfwd.core.access import Access
from consulfwd.core.carriers import RESERVED, WatchLimits
from consulfwd.core.health import Health
from consulfwd.core.routes import Route
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.names import from_text
from consulfwd.errors import StartError
from consulfwd.kept import Kept
from consulfwd.net import host, mishaps
from consulfwd.net.binding import Pair
from consulfwd.net.clock import Clock
from consulfwd.net.limited import Limited
from consulfwd.net.listening import Listeners, Listening, Sockets
from consulfwd.net.noting import Observer
from consulfwd.net.resolver import Engine
from consulfwd.net.reuse import Reuse
from consulfwd.net.routing import (
    build_routes,
    cache_limits,
    client_rules,
    guard_of,
    probe_question,
)
from consulfwd.net.tcp import TcpListener
from consulfwd.net.udp import listen
from consulfwd.net.udp_base import BaseListener
from consulfwd.notify import Notifier
from consulfwd.ops.querylog.control import QueryLog

if TYPE_CHECKING:
    from consulfwd.failover.book import Book

log = logging.getLogger("consulfwd")

DRAIN_SECONDS = 5.0


class Moving(Protocol):
    """Who has names move (`failover.serving.Serving`); `book` is None where others decide."""

    @property
    def book(self) -> Book | None:
        """Return what is known of names."""

    @property
    def changes(self) -> int:
        """Return how often something has changed."""

    async def start(self, agents: Sequence[Agent]) -> None:
        """Begin."""

    def take(self, settings: Settings) -> None:
        """Take other settings."""

    async def follow(self, agents: Sequence[Agent]) -> None:
        """Go by the settings taken last."""

    async def stop(self) -> None:
        """End."""

    def routes(self) -> Iterable[Route]:
        """Yield the routes of all names."""


class Server:
    """A running resolver: one engine, and a UDP and a TCP listener on each address."""

    def __init__(
        self,
        settings: Settings,
        *,
        rng: random.Random | None = None,
        kept: Sockets | None = None,
        room: Callable[[int], tuple[int, int]] = lambda wanted: (wanted, sys.maxsize),
    ) -> None:
        """`room` returns what there is of so many TCP connections, and of sockets to upstreams."""
        self.settings = settings
        self._room = room
        self._tcp_room = 0
        self.engine: Engine
        self._rng = rng or random.Random()
        self.querylog = QueryLog(self._observe, random.Random())
        self._watcher: Watcher | None = None
        self._moving: Moving | None = None
        self._health = Health()
        self._listening = Listening(kept or Kept(Notifier()), self._listen)
        self._access = Access(())
        self._limited = Limited(self._access.limiter)
        self._shown: renewal.Identities
        self._resolv_conf: host.ResolvConf | None = None
        self._answers = self._stopped = False
        self._looking: asyncio.Task[None] | None = None
        # An address came whose network may not ask yet.
        self._new_here = False
        self._changing = asyncio.Lock()
        self._overseer = Overseer(
            self._rank, self._agents_changed, host=socket.gethostname(), rng=random.Random()
        )

    @property
    def endpoints(self) -> list[Endpoint]:
        """Return where it listens, in the order it came to that."""
        return self._listening.endpoints

    async def start(self, bound: Callable[[], None] = lambda: None) -> None:
        """Bind the addresses and begin to answer. Raises StartError; then nothing is running.

        One that this host has not now is tried again while the others answer.

        `bound` is called in between, when nothing that anybody sent has been read: it may give up
        what binding needed. A StartError of it is one of the start.
        """
        running = asyncio.get_running_loop()
        self._shown = renewal.here()
        QueryLog.check(self.settings)
        secrets = self._secrets(self.settings)
        sockets = self._listening.bind(self.settings.listen)
        try:
            bound()
        except StartError:
            self._listening.give_up(sockets)
            raise
        self._allow()
        recursors = self._recursors(self.settings)
        self._moving = self._moving_by(self.settings)
        self.engine = Engine(
            build_routes(self.settings, recursors, self._health, alone=self._alone()),
            self._health,
            cache_limits(self.settings),
            deadline=self.settings.query.deadline,
            recursor_deadline=self.settings.query.for_recursors,
            loop=running,
            rng=self._rng,
            probe_question=probe_question(self.settings),
        )
        self._limit()
        self.engine.jar.use(self.settings.cookies.enabled, secrets)
        self._access.proves = self.engine.jar.proves
        self.engine.guard_by(guard_of(self.settings))
        self._tcp_room = self._room_for(self.settings)
        self.querylog.use(self.settings)
        if self._moving is not None:
            # Before the first query is read: what is remembered is better than nothing.
            await self._whatever(self._moving.start(self.settings.consul.agents))
        await self._listening.open(sockets, self.engine.clock.now())
        self.engine.on_second = self._follow
        self.engine.start()
        self._watch()
        log.info("listening on %s (UDP and TCP)", ", ".join(map(str, self.endpoints)))
        self._tell(recursors)
        self._overseer.use(self.settings)
        self._know()
        self._answers = True

    async def _listen(self, pair: Pair) -> Listeners:
        udp, tcp = pair
        running = asyncio.get_running_loop()
        observer = self.querylog.observer
        limits = self.settings.tcp
        tcp_listener = TcpListener(
            tcp, self.engine.front, self._access, running, limits, self._tcp_room, observer
        )
        tcp_listener.start()
        return listen(udp, self.engine.front, self._access, running, observer), tcp_listener

    def _observe(self, observer: Observer | None) -> None:
        for udp, tcp in self._listening.listeners.values():
            udp.use(observer)
            tcp.service.use(observer)

    def _allow(self, networks: tuple[Network, ...] | None = None) -> None:
        """Have those ask who may by the settings, and by the networks this host is in now."""
        if networks is None:
            networks = tuple(self.settings.allowed_networks(host.interfaces()))
        self._access.networks = networks
        self._access.seen.clear()

    def _limit(self) -> None:
        """Have clients ask, and servers be asked, as the settings say."""
        self._access.limiter.use(client_rules(self.settings), host.own_addresses())
        self.engine.table.shield.most = self.settings.limits.unknown
        self.engine.channels.spell(mixed_case=self.settings.query.mixed_case)

    def _secrets(self, settings: Settings) -> tuple[bytes, ...]:
        """Return what cookies are made by, nothing: a secret of our own. Raises StartError."""
        return read_secrets(settings.cookies.secret_file)

    def _room_for(self, settings: Settings) -> int:
        """Return how many TCP connections each address may have, and tell if that is less.

        Upstreams have their part of the open files from now on, too.
        """
        addresses, each = len(settings.listen), settings.tcp.max_connections
        clients, upstreams = self._room(each * addresses)
        self.engine.channels.use(upstreams)
        room = max(clients // addresses, 1)
        if room < each:
            log.warning(
                "no more than %d TCP connections to an address, not %d (tcp.max_connections): this"
                " process may not have more files open (LimitNOFILE)",
                room, each,
            )  # fmt: skip
        return room

    def _watch(self) -> None:
        """Begin to watch what is asked for, so that answers can be reused until they change."""
        consul = self.settings.consul
        watch = consul.watch
        # Without a cache there is nothing to reuse.
        if watch.enabled is False or not watch.max or not self.settings.cache.size:
            return
        domains = [from_text(one).lower() for one in (consul.domain, *consul.alt_domains)]
        carried = watch.max_connections - RESERVED
        rules = WatchLimits(watch.max, watch.settle, carried, watch.max_remote)
        self._watch_by(rules, domains)

    def _watch_by(self, rules: WatchLimits, domains: list[bytes]) -> None:
        """Watch within these limits; `domains` are those of Consul."""
        watch, engine = self.settings.consul.watch, self.engine
        reuse = self._reuse(rules, domains)
        self._watcher = Watcher(
            reuse,
            self._watchable(),
            leader=watch.source == "leader",
            expected=watch.enabled is True,
            now=lambda: self.engine.clock.now(),
            rng=self._rng,
        )
        engine.reuse_by(reuse)

    def _reuse(self, rules: WatchLimits, domains: list[bytes]) -> Reuse:
        """Return what makes use of watches."""
        engine = self.engine
        return Reuse(engine.cache, engine.clock, engine.warmth, engine.loop, rules, domains)

    async def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None and self.engine.reuse is not None:
            self.engine.reuse.close()
            self.engine.reuse_by(None)
            await watcher.close()

    def _recursors(self, settings: Settings) -> list[Recursor]:
        if settings.recursors is not None:
            self._resolv_conf = None
            return list(settings.recursors)
        self._resolv_conf = host.ResolvConf(settings.resolv_conf, settings.listen)
        self._resolv_conf.changed()
        return self._resolv_conf.recursors

    def _tell(self, recursors: list[Recursor]) -> None:
        settings = self.settings
        in_force = self._overseer.in_force(settings)
        agents = ", ".join(agent.name for agent in in_force.consul.agents)
        log.info(
            "%s is answered from %s (%s)", settings.consul.domain, agents, settings.consul.policy
        )
        source = "settings" if settings.recursors is not None else str(settings.resolv_conf)
        if recursors:
            names = ", ".join(recursor.name for recursor in recursors)
            log.info("everything else by %s (from %s)", names, source)
        else:
            log.warning("no recursors (%s): names outside Consul get SERVFAIL", source)
        if any(
            not network.is_private and not network.is_loopback for network in self._access.networks
        ):
            log.warning("access.allow opens this resolver to public addresses")

    def _follow(self, now: float) -> bool:
        """Look after what changes on this host: its addresses, and the recursors in resolv.conf.

        Returns whether the former can wait for some seconds.
        """
        under_way = self._looking is not None and not self._looking.done()
        due = self._new_here or self._listening.due(now)
        if not under_way and due:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._tell_limited()
        self._overseer.look()
        if self._resolv_conf is not None and self._resolv_conf.changed():
            recursors = self._resolv_conf.recursors
            path = self.settings.resolv_conf
            if recursors:
                names = ", ".join(recursor.name for recursor in recursors)
                log.info("recursors changed: %s (from %s)", names, path)
            else:
                log.warning(
                    "recursors changed: none (%s): names outside Consul get SERVFAIL", path
                )
            self._rebuild(self.settings, recursors)
        return not self._new_here and self._listening.patient

    def _tell_limited(self) -> None:
        """Have the log tell of clients that asked too much."""
        self._limited.look(self.engine.counters.shielded, self.engine.clock.now())

    async def _look(self) -> None:
        """Listen on what this host has by now."""
        async with self._changing:
            try:
                if await self._listening.look(self.engine.clock.now()):
                    self._new_here = True
                if self._new_here:
                    self._allow()
                    self._limit()
                    self._new_here = False
            except Exception as error:
                mishaps.note(self.engine.loop, "looking for addresses failed", error)

    def _rebuild(self, settings: Settings, recursors: list[Recursor]) -> None:
        known = self._upstreams()
        in_force = self._overseer.in_force(settings)
        before = self.engine.table.routes
        alone = self._alone()
        routes = build_routes(in_force, recursors, self._health, known, before, alone)
        query = settings.query
        self.engine.replace(
            routes,
            cache_limits(settings),
            query.deadline,
            query.for_recursors,
            probe_question(settings),
        )
        self._know()

    def _moving_by(self, settings: Settings) -> Moving | None:
        """Return who has names move by these settings; what is known of those there are stays."""
        if not settings.failover:
            return None
        if self._moving is not None:
            self._moving.take(settings)
            return self._moving
        return self._mover(settings)

    def _mover(self, settings: Settings) -> Moving:
        # Imported late: few hosts have such names.
        from consulfwd.failover.serving import Serving

        clock = Clock()
        return Serving(settings, clock=clock.now, wall=clock.wall, rng=self._rng)

    async def _move_on(self, before: Moving | None) -> None:
        """Have checks follow the settings in force, after who had names move `before`."""
        agents = self.settings.consul.agents
        if before is not None and self._moving is None:
            await self._whatever(before.stop())
        elif self._moving is not None and before is None:
            await self._whatever(self._moving.start(agents))
        elif self._moving is not None:
            await self._whatever(self._moving.follow(agents))

    async def _whatever(self, done: Awaitable[None]) -> None:
        """Have something done about checks; that it fails costs no query for another name."""
        try:
            await done
        except Exception as error:
            mishaps.note(self.engine.loop, "names that move are not looked after", error)

    def _alone(self) -> Iterable[Route]:
        return () if self._moving is None else self._moving.routes()

    @property
    def book(self) -> Book | None:
        """Return what is known of names that move, None where nothing is decided of any."""
        return None if self._moving is None else self._moving.book

    @property
    def moves(self) -> int:
        """Return how often something has changed about names that move; 0: there are none."""
        return 0 if self._moving is None else self._moving.changes

    def _know(self) -> None:
        """Tell those who ask over HTTP of the agents in force."""
        if self._watcher is not None:
            self._watcher.use(self._watchable())
        self._overseer.know(self._upstreams())

    def _agents(self) -> dict[str, Agent]:
        """Return the agents in force, those of the catalog among them, by name."""
        in_force = self._overseer.in_force(self.settings)
        return {one.name: one for _, agents in in_force.agent_lists() for one in agents}

    def _watchable(self) -> dict[str, Agent]:
        """Return those that are not taken out for work: watches are elsewhere then."""
        drained = {one.name for one in self.engine.table.routes.agents if one.drained}
        return {name: one for name, one in self._agents().items() if name not in drained}

    def drain(self, upstream: Upstream) -> None:
        """Take a server out for work: watches move elsewhere, questions go there in need only."""
        self._health.drain(upstream)
        self._place_anew()

    def undrain(self, upstream: Upstream) -> None:
        """Ask a server again, if it is well: that is found out at once."""
        self._health.undrain(upstream)
        self._place_anew()
        self.engine.prober.probe(upstream)

    def _place_anew(self) -> None:
        self.engine.prober.look(self.engine.clock.now())
        if self._watcher is not None:
            self._watcher.use(self._watchable())

    def _upstreams(self) -> dict[tuple[str, str, int], Upstream]:
        return {upstream.key: upstream for upstream in self.engine.upstreams()}

    def _rank(self, upstream: Upstream, reason: str) -> None:
        self._health.rank(upstream, reason)
        self.engine.prober.look(self.engine.clock.now())

    def _agents_changed(self) -> None:
        """Take the agents of the catalog into the routes, and ask new ones how they are."""
        known = self._upstreams()
        followed = self._resolv_conf
        recursors = list(self.settings.recursors or ()) if followed is None else followed.recursors
        self._rebuild(self.settings, recursors)
        for key, upstream in self._upstreams().items():
            if key not in known:
                self.engine.prober.probe(upstream)

    async def reload(self, settings: Settings) -> None:
        """Take new settings as a whole. Raises StartError; then the old ones stay in force."""
        async with self._changing:
            await self._reload(settings)

    async def _reload(self, settings: Settings) -> None:
        if self._stopped:
            return
        # Whatever may fail comes first: nothing is to be done by halves.
        QueryLog.check(settings)
        secrets = self._secrets(settings)
        sockets = self._listening.bind(settings.listen)
        try:
            recursors = self._recursors(settings)
            networks = tuple(settings.allowed_networks(host.interfaces()))
        except OSError as error:
            self._listening.give_up(sockets)
            raise StartError(f"the networks of this host: {error.strerror}") from None
        gone = [one for one in self._listening.listeners if one not in settings.listen]
        if gone:
            going = self._stop_reading(gone)
            await self.engine.table.drain_of(going, self._drain_seconds())
        # On thousands of hosts a reload must not have everything watched anew for nothing; what is
        # in files is read again for it.
        agents = [one for _, agents in settings.agent_lists() for one in agents]
        files = any(file for one in agents for file in one.files())
        kept = bool(settings.cache.size) is bool(self.settings.cache.size)
        anew = files or settings.consul != self.settings.consul or not kept
        if anew:
            await self._unwatch()
        self.settings = settings
        moving, self._moving = self._moving, self._moving_by(settings)
        self._allow(networks)
        self._limit()
        self._overseer.use(settings)
        self._rebuild(settings, recursors)
        self.engine.guard_by(guard_of(settings))
        await self._move_on(moving)
        if anew:
            self._watch()
        self._listening.close(gone)
        self._tcp_room = self._room_for(settings)
        self.querylog.use(settings)
        self.engine.jar.use(settings.cookies.enabled, secrets)
        for udp, tcp in self._listening.listeners.values():
            udp.choose_way()
            tcp.use(settings.tcp, self._tcp_room)
        await self._listening.open(sockets, self.engine.clock.now())
        log.info("settings reloaded; listening on %s", ", ".join(map(str, self.endpoints)))
        self._tell(recursors)

    @property
    def missing(self) -> list[Endpoint]:
        """Return where it is to listen and cannot yet."""
        return list(self._listening.missing)

    @property
    def phase(self) -> Literal["starting", "running", "stopping"]:
        """Return whether it answers yet, and still."""
        if self._stopped:
            return "stopping"
        return "running" if self._answers else "starting"

    def faults(self) -> list[str]:
        """Return what is wrong over HTTP, and with the query log, for people."""
        faults = [*self._shown.faults(), *self._overseer.faults()]
        return [*faults, *self.querylog.faults()]

    async def stop(self) -> None:
        """Read no more queries, answer those in flight, then close."""
        async with self._changing:
            await self._stop()

    def _stop_reading(self, endpoints: Iterable[Endpoint]) -> list[BaseListener | TcpListener]:
        going = [listener for asked in endpoints for listener in self._listening.listeners[asked]]
        for listener in going:
            listener.stop_reading()
        return going

    def _drain_seconds(self) -> float:
        return min(DRAIN_SECONDS, self.engine.table.longest + 0.5)

    async def _stop(self) -> None:
        self._stopped = True
        await self._overseer.close()
        self._stop_reading(self._listening.listeners)
        await self.engine.table.drain(self._drain_seconds())
        self.engine.on_second = lambda now: True
        self._listening.stop()
        if self._moving is not None:
            await self._whatever(self._moving.stop())
        await self._unwatch()
        self.engine.close()
        await self.querylog.close()
        # One turn of the loop lets the transports close their sockets.
        await asyncio.sleep(0)
