"""The hidden primaries of this process: zones, addresses and secondaries put together.

What belongs here: settings become stores, sockets and tasks. Zones may share addresses.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import dns.tsig

from consulfwd.config import Endpoint
from consulfwd.config.zones import PrimaryTarget, ZoneSettings
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.naming import apex_of
from consulfwd.zones.primary import fetching, serving, sockets, tsig
from consulfwd.zones.primary.answering import Served
from consulfwd.zones.primary.notifying import Notifier
from consulfwd.zones.primary.store import Store
from consulfwd.zones.primary.target import Primary
from consulfwd.zones.primary.versions import Version
from consulfwd.zones.sinks.keys import read_key

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Primaries:
    """Zones that are served by this process. Order: `add` each, `bind`, `start`, `close`.

    What is bound before the process gives up its rights can be served afterwards.
    """

    def __init__(
        self,
        state: Path,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._state = state
        self._clock = clock
        self._environ = environ
        self._zones: dict[Endpoint, dict[bytes, Served]] = {}
        self._primaries: list[tuple[Primary, Notifier]] = []
        self._sockets: dict[Endpoint, sockets.Sockets] = {}
        self._servers: list[serving.Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, zone: ZoneSettings, settings: PrimaryTarget) -> Primary:
        """Return a zone's target; what it held is read. Raises ApplyError."""
        origin = names.from_text(zone.origin)
        found = read_key(
            settings.key_name, settings.key_file, settings.algorithm, self._environ
        )
        if found is None and not settings.unsigned:
            what = "nobody may have the zone: its target `primary` has no key"
            raise ApplyError(zone.origin, what, "give key_name and key_file, or say unsigned: true")
        key = None if found is None else key_of(found)
        for endpoint in settings.listen:
            if origin in self._zones.get(endpoint, {}):
                what = f"two zones of that name are to be served on {endpoint}"
                raise ApplyError(zone.origin, what, "give the views addresses of their own")
        store = Store(path_of(self._state, zone), origin)
        store.open()
        told = tuple(ip_network(_plain(one)) for one in settings.notify)
        allow = settings.allow or _LOOPBACK + told
        primary = Primary(store, origin, apex_of(zone), clock=self._clock)
        # With a lock it is another one that serves it, until it is known to be this one.
        primary.resting = zone.lock.enabled
        served = Served(
            store.versions, store.lock, key, settings.unsigned, allow, lambda: primary.resting
        )
        for endpoint in settings.listen:
            self._zones.setdefault(endpoint, {})[origin] = served
        notifier = Notifier(origin, settings.notify, key, settings.listen, self._clock)
        primary.announce = lambda version: self._announce(primary, notifier, version)
        primary.hush = notifier.hush
        there, here = settings.notify, settings.listen
        primary.fetch = lambda version: fetching.fetch(origin, version, there, key, here)
        primary.newest = lambda: fetching.newest(origin, there, key, here)
        self._primaries.append((primary, notifier))
        return primary

    def bind(self) -> None:
        """Have the sockets. Raises StartError."""
        self._sockets = sockets.bind(self._zones)

    def port(self, endpoint: Endpoint) -> int:
        """Return the port that was had for an address."""
        return self._sockets[endpoint].port

    async def start(self) -> None:
        """Answer, and tell secondaries which versions there are."""
        self._loop = asyncio.get_running_loop()
        for endpoint, had in self._sockets.items():
            server = serving.Server(had, self._zones[endpoint], clock=self._clock)
            await server.start()
            self._servers.append(server)
        for primary, notifier in self._primaries:
            notifier.start()
            versions = primary.store.versions
            if versions.now is not None and not versions.behind and not primary.resting:
                notifier.announce(versions.now)

    async def close(self) -> None:
        """Stop answering, and let others write."""
        self._loop = None
        for _, notifier in self._primaries:
            await notifier.close()
        for server in self._servers:
            await server.close()
        if not self._servers:
            for one in self._sockets.values():
                one.close()
        for primary, _ in self._primaries:
            primary.close()

    def _announce(self, primary: Primary, notifier: Notifier, version: Version) -> None:
        def announce() -> None:
            if not primary.resting:
                notifier.announce(version)

        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(announce)


def path_of(state: Path, zone: ZoneSettings) -> Path:
    """Return where the journal of a zone is."""
    view = f"@{quote(zone.view, safe='')}" if zone.view else ""
    return state / "primary" / f"{quote(zone.origin, safe='')}{view}.journal"


def key_of(found: dns.tsig.Key) -> tsig.Key:
    """Return a key as messages are signed with it here."""
    algorithm = found.algorithm.to_text(omit_final_dot=True).lower()
    return tsig.Key(found.name.to_digestable(), algorithm, found.secret)


def _plain(endpoint: Endpoint) -> str:
    return endpoint.host.partition("%")[0]
