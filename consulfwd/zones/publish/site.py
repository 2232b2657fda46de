"""All zones that this program publishes, by one set of settings.

What belongs here: feed, targets, locks and publishers put together, begun and ended in order. Must
not know: settings files, signals, the service manager.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.session import boot_time
from consulfwd.consul.several import Several
from consulfwd.core.alarms import Alarms
from consulfwd.errors import ConsulfwdError
from consulfwd.ops.snapshot import ZoneSeen
from consulfwd.process import give_memory_back, quieten_collector
from consulfwd.zones.alone import Alone
from consulfwd.zones.feed import Feed
from consulfwd.zones.publish.audit import Audit
from consulfwd.zones.publish.feeding import Sources
from consulfwd.zones.publish.folder import Folder
from consulfwd.zones.publish.kept import Kept
from consulfwd.zones.publish.making import KINDS, Making
from consulfwd.zones.publish.place import LOOK
from consulfwd.zones.publish.publisher import FIRST_LOOK, Publisher
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.tools import Tools, in_thread, wait
from consulfwd.zones.store import Times
from consulfwd.zones.writer import Writer, form_of

if TYPE_CHECKING:
    from consulfwd.zones.publish.moves import Moves

log = logging.getLogger("consulfwd.publish")

# Pauses (seconds) before a zone is begun anew that an error ended: the first, then twice as long.
RETRY, RETRY_MAX = 5.0, 300.0
# Between two times that it is written down what is to be seen of zones (seconds).
STATUS = 1.0


class Site:
    """Zones, from `start` until `close`. `rounds` is called whenever something was done, or said.

    `kinds` are those of targets that are published to; `look` is how often each is looked at though
    nothing changed (seconds).
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        zones: Sequence[ZoneSettings],
        folder: Folder,
        *,
        kinds: Iterable[str] = KINDS,
        look: float = LOOK,
        rounds: Callable[[], None] = lambda: None,
        moves: Moves | None = None,
    ) -> None:
        self.agents = agents
        self.zones = zones
        self.kept: list[Kept] = []
        self.making = Making(folder.root)
        self._folder = folder
        self._kinds = tuple(kinds)
        self._look = look
        self._rounds = rounds
        self._moves = moves
        self._alarms = Alarms()
        self._sources: Sources | None = None
        self._connection: Several | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[bool] | None = None
        self._news = asyncio.Event()
        self._end = asyncio.Event()
        self._held: list[int] = []

    async def start(self) -> None:
        """Begin. Raises ApplyError or StartError; then nothing is left behind."""
        await in_thread(self._folder.prepare)
        self._held = [one for one in map(self._folder.hold, self.zones) if one is not None]
        try:
            self._sources = Sources(self.agents, self.zones)
            audit = Audit(self._folder.audit)
            for zone in self.zones:
                self.kept.append(self._made(zone, self._sources, audit))
            if self._moves is not None:
                await self._moves.start()
            if self.making.primaries is not None:
                self.making.primaries.bind()
                await self.making.primaries.start()
        except BaseException:
            await self.close()
            raise
        # A backup is to know what Consul says by the time that it is needed.
        self._warming = asyncio.ensure_future(_warm(self._sources.feed))
        self._tasks = [asyncio.ensure_future(self._keep(one)) for one in self.kept]
        self._telling = asyncio.ensure_future(self._write_down())

    async def renew(self) -> None:
        """Ask Consul anew, with the tokens there are by now, and look at all targets."""
        if self._sources is not None:
            await self._sources.feed.use(self.agents)
        for one in self.kept:
            one.publisher.call("it was asked for")

    def faults(self) -> list[str]:
        """Return what fails now in rounds."""
        return [fault for one in self.kept for fault in one.faults()]

    def seen(self) -> tuple[ZoneSeen, ...]:
        """Return its part of the picture of the process."""
        return tuple(one.seen() for one in self.kept)

    def wrong(self) -> list[str]:
        """Return what is wrong with Consul now, for people."""
        return [] if self._sources is None else self._sources.feed.faults()

    async def close(self) -> None:
        """End all of it, and have others publish: what is being done may end first."""
        for one in self.kept:
            one.ending = True
            one.writer.stop()
        self._end.set()
        await _ended(self._tasks)
        if self._telling is not None:
            self._telling.cancel()
            await _ended([self._telling])
            await self._write_all_down()
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._moves is not None:
            await self._moves.close()
        if self.making.primaries is not None:
            await self.making.primaries.close()
        for one in self.kept:
            for place in one.publisher.places:
                place.target.close()
        if self._sources is not None:
            await self._sources.feed.close()
        if self._connection is not None:
            await self._connection.close()
        while self._held:
            os.close(self._held.pop())

    def _made(self, zone: ZoneSettings, sources: Sources, audit: Audit) -> Kept:
        serials = Serials()
        places = self.making.places(zone, serials, self._kinds, self._look)
        tools = Tools(audit=audit.write, round=self._said, alarms=self._alarms)
        publisher = Publisher(zone, places, sources.of(zone), tools, serials, self._moves)
        times = Times(boot_time, time.time)
        files = self._folder.files(zone)
        writer: Writer | Alone
        if zone.lock.enabled:
            if self._connection is None:
                self._connection = Several(self.agents)
            form = form_of(zone)
            writer = Writer(self._connection, form, files, times=times, changed=self._said)
        else:
            writer = Alone(files, times=times)
        return Kept(zone, publisher, writer, self._folder.status(zone))

    async def _keep(self, one: Kept) -> None:
        """Publish a zone until it is to end, whatever happens."""
        pause = RETRY
        while not one.ending:
            begun = time.monotonic()
            try:
                await one.writer.run(one.publisher.work)
                return
            except ConsulfwdError as error:
                one.fault = str(error).splitlines()[0]
                if self._alarms.wrong(one.publisher.name, time.monotonic(), one.fault):
                    log.error("%s: not published: %s", one.publisher.name, error)
            except Exception as error:
                one.fault = f"an error of consulfwd's own ({error!r})"
                log.exception("%s: not published, begun again soon:", one.publisher.name)
            self._said()
            if time.monotonic() - begun > RETRY_MAX:
                pause = RETRY
            await wait(self._end, pause)
            pause = min(2 * pause, RETRY_MAX)
            one.fault = ""

    def _said(self) -> None:
        for one in self.kept:
            if isinstance(one.writer, Writer) and one.writer.other:
                one.publisher.rest()
        self._news.set()
        self._rounds()

    async def _write_down(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._write_all_down()
            await asyncio.sleep(STATUS)

    async def _write_all_down(self) -> None:
        for one in self.kept:
            try:
                await one.write_down(time.time())
            except ConsulfwdError as error:
                if self._alarms.wrong("status", time.monotonic()):
                    log.warning("%s", error)


async def _warm(feed: Feed) -> bool:
    # Most of what is made by then stays: looking through it again and again takes half the time.
    quieten_collector()
    give_memory_back()
    over = await feed.ready(FIRST_LOOK)
    quieten_collector()
    return over


async def _ended(tasks: Sequence[Awaitable[None]]) -> None:
    """Wait for tasks to end, however often that is to be given up."""
    left = {one for one in tasks if isinstance(one, asyncio.Task)}
    while left:
        with contextlib.suppress(asyncio.CancelledError):
            _, left = await asyncio.wait(left)
