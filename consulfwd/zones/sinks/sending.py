"""Updates sent, one after the other, to the first server that takes them (RFC 2136).

What belongs here: one message, where it goes, and what is known afterwards: what was done, what may
have been, and the SOA record that the next one requires. What is in the messages, and in which
order they go, is not known here.

A zone may be changed where it is of no concern: by whoever signs it, or at other names. Where all
that the plan is for is as it was, it goes on with the SOA record there is by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import dns.tsig

from consulfwd.config.addresses import Endpoint
from consulfwd.dns import const
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, Records, applied, difference
from consulfwd.zones.sinks import faults, messages
from consulfwd.zones.sinks.exchange import Exchange
from consulfwd.zones.sinks.faults import CONFLICTS, Doing, Fault
from consulfwd.zones.sinks.groups import named
from consulfwd.zones.sinks.ownership import Ownership, Parted, unfit
from consulfwd.zones.sinks.transfers import AS_KNOWN, Contents, serial_of
from consulfwd.zones.sinks.updates import Batch, undone
from consulfwd.zones.target import Base, Push

# So often one message is sent, each time for another SOA record.
_TRIES = 5
_FORWARDS = "name the zone's primary in `servers`, if this is a secondary that forwards updates"
GOES_ON = "nothing is lost by that: the next plan is for what is there"


class Seen(Protocol):
    """What one server holds."""

    @property
    def server(self) -> Endpoint: ...

    @property
    def contents(self) -> Contents: ...

    @property
    def parted(self) -> Parted: ...

    @property
    def base(self) -> Base: ...


class Zone(Protocol):
    """What a change needs of the zone that is changed."""

    origin: bytes
    exchange: Exchange
    ownership: Ownership

    @property
    def where(self) -> str: ...

    @property
    def servers(self) -> tuple[Endpoint, ...]: ...

    def look(self, first: Endpoint | None = None, *, anew: bool = False) -> Seen: ...

    def shown(self, server: Endpoint, acts: Sequence[Act]) -> Seen: ...

    def order(self, first: Endpoint | None = None) -> list[Endpoint]: ...

    def failed(self, server: Endpoint) -> None: ...

    def worked(self, server: Endpoint) -> None: ...

    def key(self) -> dns.tsig.Key | None: ...

    def soa(self, server: Endpoint, key: dns.tsig.Key | None) -> tuple[bytes, bytes]: ...


class Unable(ApplyError):
    """A message was not taken, for what may be in some of it; nothing of it was done."""


class Sending:
    """Sends what one plan comes to. `done` is what is in force by that, in order.

    `unsure` was sent, and is perhaps in force; `stage` is said where the lock is lost; `soa` is the
    zone's as it was read last, empty where it could not be.
    """

    def __init__(self, zone: Zone, push: Push) -> None:
        self._zone = zone
        self._push = push
        self._apex = b""
        self._spelled = AS_KNOWN
        self._still = False  # whether the serial stays where it is
        self.server: Endpoint | None = None
        self.soa = b""
        self.done: list[Act] = []
        self.unsure: Sequence[Act] = ()
        self.stage = "not updated"

    def goes_on_from(self, seen: Seen) -> None:
        """Note what the zone is like."""
        self._apex, self._spelled = seen.contents.zone, seen.contents.spelled
        self.server, self.soa = seen.server, seen.contents.soa

    def check(self) -> None:
        """Refuse to go on once the lock is lost: before every message, as each takes its time."""
        if why := self._push.may():
            raise ApplyError(self._zone.where, f"{self.stage}: {why}", GOES_ON)

    def send(self, batch: Batch) -> None:
        """Send one message, to the next server where one cannot take it; then see the SOA."""
        key = self._zone.key()
        reasons = []
        for server in self._zone.order(self.server):
            try:
                self._ask(server, batch, key)
            except Fault as fault:
                if fault.unsure and not self._refused(fault, server, batch):
                    self.unsure = batch.acts
                self._zone.failed(server)
                reasons.append((str(server), fault))
            else:
                break
        else:
            if self.unsure and (seen := self._taken(batch)) is not None:
                self._in_force(batch)
                self.goes_on_from(seen)
                return
            what = "may be updated or not" if self.unsure else "not updated"
            error = faults.joined(self._zone.where, what, reasons)
            if any(fault.some for _, fault in reasons) and not self.unsure:
                raise Unable(error.where, error.what, error.mend)
            raise error
        before, self.soa, self.server = self.soa, b"", server
        self._in_force(batch)
        self._zone.worked(server)
        try:
            _, self.soa = self._zone.soa(server, key)
        except Fault as fault:
            if (seen := self._taken(batch)) is not None:
                self.goes_on_from(seen)
                return
            what = "updated, but cannot be verified"
            raise faults.joined(self._zone.where, what, [(str(server), fault)]) from None
        if self.soa == before and not self._still:
            # Its serial does not tell of each change, or it has yet to pull the zone itself.
            seen = self._zone.shown(server, batch.acts)
            self.goes_on_from(seen)
            self._still = self.soa == before
            if missing := undone(batch.acts, seen.contents.records):
                what = f"{server} took the update, but does not show {named(missing)}"
                raise ApplyError(self._zone.where, what, _FORWARDS)

    def _in_force(self, batch: Batch) -> None:
        self.done += batch.acts
        self.unsure = ()

    def _refused(self, fault: Fault, server: Endpoint, batch: Batch) -> bool:
        """Return whether it is sure that an update was not taken: the zone is as it was."""
        if not fault.some:
            return False
        try:
            seen = self._zone.look(server)
        except ApplyError:
            return False
        same = seen.server == server and seen.contents.soa == self.soa
        return same and bool(undone(batch.acts, seen.contents.records))

    def _taken(self, batch: Batch) -> Seen | None:
        """Return what is there, if that shows what was sent and not answered."""
        try:
            seen = self._zone.look(anew=True)
        except ApplyError:
            return None
        return None if undone(batch.acts, seen.contents.records) else seen

    def _ask(self, server: Endpoint, batch: Batch, key: dns.tsig.Key | None) -> None:
        for _ in range(_TRIES):
            self.check()
            message = messages.update(batch, self._apex, self.soa, key, self._spelled)
            rcode = self._zone.exchange.ask(server, message).rcode()
            if rcode == const.NOERROR:
                return
            if rcode not in CONFLICTS:
                raise faults.refused(rcode, Doing.UPDATE, self._apex)
            seen = self._zone.look(server)
            if seen.contents.soa == self.soa:
                seen = self._zone.look(server, anew=True)
            if self.unsure and not undone(batch.acts, seen.contents.records):
                return  # it was taken when it was sent before
            if seen.contents.soa == self.soa or not self.unchanged(seen):
                break
            self.goes_on_from(seen)
        raise self.changed(seen)

    def unchanged(self, seen: Seen) -> bool:
        """Return whether nobody else has changed what the plan is for."""
        acts, ours, expected = self._push.acts, seen.parted.ours, self._expected()
        same = all(ours.get(act.key) == expected.get(act.key) for act in acts)
        return same and not unfit(self._zone.ownership, acts, seen.parted.foreign)

    def changed(self, seen: Seen) -> ApplyError:
        """Return that somebody else changed the zone, and what."""
        was = str(serial_of(self.soa)) if self.done else self._push.base.mark
        acts = difference(self._expected(), seen.parted.ours)
        acts += difference(_there(self._push.base.foreign), _there(seen.parted.foreign))
        return faults.changed_meanwhile(self._zone.where, was, seen.base.mark, acts)

    def _expected(self) -> Records:
        """Return what is ours if nobody but this has changed it."""
        ours = self._push.base.ours
        keys = ours.keys() | {one.key for one in self._push.acts}
        return applied(ours, [one for one in self.done if one.key in keys])


def _there(foreign: Records) -> Records:
    """Return what there is: some only keep a name free."""
    return {key: rrset for key, rrset in foreign.items() if rrset.data}
