"""A zone in an Infoblox grid, by its WAPI: a target of the publisher's.

What belongs here: the parts of a grid put together, and the event loop that they run in: a target
is asked in a thread. Must not know: objects, requests, replies.

Ours are the records with the extensible attribute of the settings; all others are foreign. A grid
has no compare-and-set, so there is none here: each name is looked at just before it is touched.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

from consulfwd.config.credentials import located
from consulfwd.config.zones import InfobloxTarget
from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key, Records
from consulfwd.zones.sinks.infoblox_change import InfobloxChange
from consulfwd.zones.sinks.infoblox_errand import Errand
from consulfwd.zones.sinks.infoblox_grid import Asks, Grid, Sleep
from consulfwd.zones.sinks.infoblox_http import Http
from consulfwd.zones.sinks.infoblox_login import Login
from consulfwd.zones.sinks.infoblox_objects import Marking
from consulfwd.zones.sinks.infoblox_reading import Reader
from consulfwd.zones.sinks.infoblox_sets import pushed
from consulfwd.zones.target import Base, Push


class Infoblox:
    """A zone of one view of a grid (see `target.Target`). Its methods may be called by any thread.

    They wait for each other. `origin` is a name in wire form. Nothing is opened before `read`.
    """

    def __init__(
        self,
        settings: InfobloxTarget,
        origin: bytes,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        connect: Callable[[ssl.SSLContext, float], Asks] = Http,
    ) -> None:
        self._settings = settings
        self._origin = origin
        self._environ = environ
        self._sleep = sleep
        self._connect = connect
        self._marking = Marking(settings.view, settings.attribute, settings.owner)
        hosts = (urlsplit(settings.urls[0]).netloc, settings.view)
        self._where = f"infoblox {hosts[0]} view {hosts[1]}"
        self._login = Login(self._where, settings.user, settings.password_file, environ, clock)
        self._turn = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._grid: Grid | None = None
        self._reader: Reader | None = None
        self._clock = clock
        # What the zone held when it was read, with what was pushed since.
        self._known: Base | None = None
        self._read_at = 0.0
        # What a grid did not take the last time.
        self._late: set[Key] = set()

    @property
    def where(self) -> str:
        return self._where

    def read(self) -> Base:
        """Return what the zone holds; the mark is a checksum of that. Raises ApplyError.

        It is what was read last and pushed since, if that is not too long ago: the names of a push
        are looked at just before they are written, and all of them now and then.
        """
        if self._known is not None and self._clock() < self._read_at + self._settings.reread:
            return self._known
        return self._read_whole()

    def change(self, push: Push) -> InfobloxChange:
        """Return what carries a push out. Raises ApplyError where the zone is not as it was."""
        if self._known is None or self._known.mark != push.base.mark:
            now = self._read_whole()
            if now.mark != push.base.mark:
                raise ApplyError(
                    self._where,
                    f"the zone was changed meanwhile{_which(push.base, now)}",
                    "plan anew",
                )
        return InfobloxChange(
            self._where,
            self._origin,
            push,
            self._run,
            lambda: self._parts()[1],
            lambda: self._errand(push),
            lambda: self._settled(push),
        )

    def close(self) -> None:
        """Give up connections and the event loop; it may be used again all the same."""
        with self._turn:
            grid, self._grid, self._reader = self._grid, None, None
            self._known = None
            loop, self._loop = self._loop, None
        if loop is not None:
            # Whoever calls may be in an event loop, and in its thread no other one can run.
            ending = threading.Thread(target=_end, args=(loop, grid))
            ending.start()
            ending.join()

    def _errand(self, push: Push) -> Errand:
        # What was read is not what is there any more.
        self._known = None
        return Errand(*self._parts(), self._marking, push.may, self._late)

    def _settled(self, push: Push) -> None:
        self._known = pushed(push.base, push.acts)

    def _read_whole(self) -> Base:
        at = self._clock()
        base: Base = self._run(self._whole())
        self._known, self._read_at = base, at
        return base

    async def _whole(self) -> Base:
        grid, reader = self._parts()
        grid.begin()
        return await reader.whole()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something to its end; what waits for it to end is not left behind."""
        with self._turn:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            task = self._loop.create_task(coroutine)
            try:
                return self._loop.run_until_complete(task)
            except BaseException:
                if not task.done():
                    task.cancel()
                    self._loop.run_until_complete(asyncio.wait({task}))
                raise

    def _parts(self) -> tuple[Grid, Reader]:
        """Return what asks the grid; to be called within the event loop."""
        if self._grid is None or self._reader is None:
            one = self._settings
            http = self._connect(self._trusted(), one.timeout)
            self._grid = Grid(self._where, one.urls, one.user, self._login, http, self._sleep)
            self._reader = Reader(self._grid, self._origin, self._marking)
        return self._grid, self._reader

    def _trusted(self) -> ssl.SSLContext:
        """Return what the grid's certificate is verified by; there is no way around that."""
        file = self._settings.ca_file
        if file is None:
            return ssl.create_default_context()
        try:
            return ssl.create_default_context(cafile=str(located(file, self._environ)))
        except ssl.SSLError:
            why, mend = "holds no certificate", "give certificates in PEM"
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else "") or str(error)
            mend = "let the user that consulfwd runs as read it"
        raise ApplyError(self._where, f"ca_file {file}: {why}", mend)


def _end(loop: asyncio.AbstractEventLoop, grid: Grid | None) -> None:
    try:
        if grid is not None:
            loop.run_until_complete(grid.close())
    finally:
        loop.close()


def _which(before: Base, now: Base) -> str:
    """Return at which names two states differ."""
    found = {
        key
        for one, other in ((before.ours, now.ours), (before.foreign, now.foreign))
        for key in _differing(one, other)
    }
    told = [f"{names.to_text(key.name)} {const.type_text(key.type)}"
            for key in sorted(found, key=Key.order)]  # fmt: skip
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    return f", at {', '.join(told[:5])}{more}" if told else ""


def _differing(one: Records, other: Records) -> set[Key]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
