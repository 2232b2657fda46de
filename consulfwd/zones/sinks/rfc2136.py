"""A zone of a server that takes updates (RFC 2136): how it is read.

What belongs here: which server is asked, by what, and what is remembered of the zone. What a
transfer comes to is in `transfers`, whose records are whose in `ownership`, how the zone is changed
in `updating`.

The SOA record is asked for first: where it is as it was, nothing is transferred. Where it is newer,
what changed since is (IXFR), as far as the server has that. Now and then the zone is transferred as
a whole all the same: databases are edited without a new serial, and serials that are a time are the
same for all changes of a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.tsig

from consulfwd.config import zones as settings
from consulfwd.config.addresses import Endpoint
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones import serials
from consulfwd.zones.model import Act
from consulfwd.zones.sinks import faults, messages
from consulfwd.zones.sinks.exchange import Exchange, ask_soa
from consulfwd.zones.sinks.faults import Fault
from consulfwd.zones.sinks.keys import read_key
from consulfwd.zones.sinks.ownership import Ownership, Parted
from consulfwd.zones.sinks.primaries import Primaries
from consulfwd.zones.sinks.transfers import Contents, Transfer, serial_of
from consulfwd.zones.sinks.updates import undone
from consulfwd.zones.sinks.updating import UpdateChange
from consulfwd.zones.target import Base, Push

# The serial is believed for so long (seconds).
_WHOLE_AFTER = 3_600.0
# For how long (seconds) an update is waited for at a server that took it, and the pauses.
_FOLLOWS, _PAUSE, _PAUSE_MAX = 5.0, 0.1, 1.0


class Seen(NamedTuple):
    """What one server holds, and what of that is ours.

    `edition` counts what had the same serial before, with other records.
    """

    server: Endpoint
    contents: Contents
    parted: Parted
    edition: int = 0

    @property
    def base(self) -> Base:
        """The same as whoever plans wants it."""
        serial = self.contents.serial
        mark = f"{serial}+{self.edition}" if self.edition else str(serial)
        return Base(mark, self.parted.ours, self.parted.foreign, serial)


class UpdatedZone:
    """A zone, or names in one, at servers that take updates (see `target.Target`)."""

    def __init__(
        self,
        given: settings.UpdateTarget,
        origin: bytes,
        *,
        exchange: Exchange | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.origin = origin
        self.exchange = exchange or Exchange(given.timeout)
        self._given = given
        self._clock = clock
        self._sleep = sleep
        self._primaries = Primaries(given.servers)
        subtree = names.from_text(given.subtree) if given.subtree else None
        self.ownership = Ownership(given.ownership, origin, subtree, given.owner)
        self._seen: Seen | None = None
        self._whole_until = 0.0  # then the whole zone is read again
        self._outside = given.subtree if subtree and not names.is_under(origin, subtree) else ""

    @property
    def where(self) -> str:
        servers = ", ".join(map(str, self._given.servers))
        return f"updates of {names.to_text(self.origin)} at {servers}"

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """All of them, as the settings have them."""
        return self._given.servers

    def read(self) -> Base:
        """Return what the zone holds at the first server that can say so."""
        return self.look().base

    def change(self, push: Push) -> UpdateChange:
        """Return what brings a plan into force; nothing is asked or done yet."""
        return UpdateChange(self, push)

    def close(self) -> None:
        """There is nothing to give up: connections are closed once they are done with."""
        self._seen = None

    def look(self, first: Endpoint | None = None, *, anew: bool = False) -> Seen:
        """Return what the zone holds now; `first` is the server that is asked before others.

        With `anew` that is transferred whatever the serial is.
        """
        if self._outside:
            what = f"not changed: the origin is not below the subtree {self._outside}"
            raise ApplyError(self.where, what, "set `subtree` to the origin, or leave it out")
        key = self.key()
        reasons = []
        for server in self.order(first):
            try:
                seen = self._look_at(server, key, anew=anew)
            except Fault as fault:
                self.failed(server)
                reasons.append((str(server), fault))
            else:
                self._primaries.worked(server)
                self._seen = seen = self._told_apart(seen)
                return seen
        raise faults.joined(self.where, "could not be read, and is not changed", reasons)

    def shown(self, server: Endpoint, acts: Sequence[Act]) -> Seen:
        """Return what a server holds that took these acts, as soon as it shows them.

        A secondary that forwards updates (RFC 2136 section 6) has to pull the zone first.
        """
        until, pause = self._clock() + _FOLLOWS, _PAUSE
        while True:
            seen = self.look(server, anew=True)
            if not undone(acts, seen.contents.records) or self._clock() + pause > until:
                return seen
            self._sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX)

    def order(self, first: Endpoint | None = None) -> list[Endpoint]:
        """Return the servers in the order they are to be tried."""
        return self._primaries.order(self._clock(), first)

    def failed(self, server: Endpoint) -> None:
        """Note that a server could not do what it was asked for."""
        self._primaries.failed(server, self._clock())

    def worked(self, server: Endpoint) -> None:
        """Note that it could."""
        self._primaries.worked(server)

    def key(self) -> dns.tsig.Key | None:
        """Return the key that messages are signed with: it is read anew, as it may be replaced."""
        given = self._given
        try:
            return read_key(given.key_name, given.key_file, given.algorithm, os.environ)
        except ApplyError as error:
            raise ApplyError(self.where, f"{error.where}: {error.what}", error.mend) from None

    def soa(self, server: Endpoint, key: dns.tsig.Key | None) -> tuple[bytes, bytes]:
        """Return the zone that the origin is in at a server, and its SOA record. Raises Fault."""
        found = ask_soa(self.exchange, server, self.origin, key)
        if self.ownership.kind == "zone" and found.name != self.origin:
            origin, zone = names.to_text(self.origin), names.to_text(found.name)
            raise Fault(
                f"has no zone {origin}, which is in {zone} there",
                f"make the zone {origin}; or set `ownership` to subtree or registry",
            )
        return found.name, found.data

    def _look_at(self, server: Endpoint, key: dns.tsig.Key | None, *, anew: bool) -> Seen:
        zone, soa = self.soa(server, key)
        known = self._seen
        if known is None or known.server != server or known.contents.zone != zone:
            return self._whole(server, zone, key)
        if known.contents.soa == soa:
            if not anew and self._clock() < self._whole_until:
                return known
        elif serials.newer(serial_of(soa), known.contents.serial):
            try:
                return self._seen_by(server, Transfer(zone, known.contents), key, known)
            except Fault:
                pass  # the whole zone says more, or why
        return self._whole(server, zone, key)

    def _told_apart(self, seen: Seen) -> Seen:
        """Return the same with another edition where it has but the serial of what was known."""
        known = self._seen
        if known is None or seen is known or seen.contents.serial != known.contents.serial:
            return seen
        other = seen.contents.records != known.contents.records
        return seen._replace(edition=known.edition + other)

    def _whole(self, server: Endpoint, zone: bytes, key: dns.tsig.Key | None) -> Seen:
        seen = self._seen_by(server, Transfer(zone), key)
        self._whole_until = self._clock() + _WHOLE_AFTER
        return seen

    def _seen_by(
        self,
        server: Endpoint,
        transfer: Transfer,
        key: dns.tsig.Key | None,
        known: Seen | None = None,
    ) -> Seen:
        self.exchange.transfer(server, messages.transfer(*transfer.wanted, key), transfer.take)
        contents, changed = transfer.contents(), transfer.changed
        if known is None or changed is None:
            return Seen(server, contents, self.ownership.part(contents))
        return Seen(server, contents, self.ownership.again(known.parted, contents, changed))
