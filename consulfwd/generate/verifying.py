"""Whether a server resolves what its files are for, found out by asking it.

What belongs here: which questions show that, and what is thought of the replies. How a question is
asked is in `asking`; must not know any server's grammar.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Protocol

from consulfwd.generate.asking import Reply, ask
from consulfwd.generate.model import NameServer, Site, Zone
from consulfwd.servers.names import is_reverse, within
from consulfwd.servers.target import CONSUL, FORWARD, REVERSE

log = logging.getLogger("consulfwd.keep")

# PowerDNS Recursor has a least TTL of 1 s.
SHORTEST_S = 1


class Ask(Protocol):
    """Puts one question."""

    def __call__(
        self, server: NameServer, name: str, rtype: str, dnssec: bool = False
    ) -> Reply: ...

# Seconds until no further zone is looked at: each question may take its time-out.
LONGEST_S = 10.0
# Zones with something wrong, until no further one is looked at.
MOST_WRONG = 3
# How many of a zone's own servers are asked where the server's reply is not as it should be.
MOST_ASKED = 3
# Labels of a whole reverse name, by the zone above all of its kind.
_WHOLE = {"in-addr.arpa": 4, "ip6.arpa": 32}


def works(
    server: NameServer,
    site: Site,
    *,
    ask: Ask = ask,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = log.warning,
) -> str:
    """Ask `server` about each zone of `site`; return what is wrong with its answers, or "".

    What a zone's own servers do not know either is held against nobody, but for Consul's domains:
    nothing was gained without them. Zones whose servers do not answer are told of, and what is true
    of some clients alone, or comes of other settings of the server's.
    """
    looking = _Looking(server, ask)
    until = clock() + LONGEST_S
    wrong: list[str] = []
    for zone in (*site.zones, *site.covered, *site.passed_on):
        found = looking.wrong(zone)
        if found and zone in site.passed_on:
            mend = "have consulfwd answer, with --to consulfwd"
            found += f" (the agents of {site.domain} are asked: they must know it, or {mend})"
        if found:
            wrong.append(found)
        if clock() > until or len(wrong) == MOST_WRONG or (found and zone.kind == CONSUL):
            break
    if not wrong and looking.silent:
        listed = ", ".join(looking.silent)
        tell(f"not verified, as none of those who are asked about it replies: {listed}")
    for zone in site.zones if not wrong else ():
        for doubt in looking.doubts(zone) if zone.kind == CONSUL and clock() <= until else ():
            tell(doubt)
    return "; ".join(wrong)


def _there(reply: Reply) -> bool:
    return bool(reply.records)


def _exists(reply: Reply) -> bool:
    return reply.rcode == "NOERROR"


def _denied(reply: Reply) -> bool:
    return reply.rcode == "NXDOMAIN"


def _told(reply: Reply) -> bool:
    return _exists(reply) or _denied(reply)


class _Looking:
    """One server, looked at zone by zone."""

    def __init__(self, server: NameServer, ask: Ask) -> None:
        self._server = server
        self._ask = ask
        # A label that nothing has.
        self._nobody = f"consulfwd-{uuid.uuid4().hex[:12]}"
        # The addresses of Consul's servers, of which it has reverse names.
        self._addresses: list[str] = []
        # The zones whose servers did not reply.
        self.silent: list[str] = []
        # Of each zone: the type of which there are addresses, and how long they may be kept.
        self._ttls: dict[str, tuple[str, int]] = {}

    def doubts(self, zone: Zone) -> Iterator[str]:
        """Yield what bites some clients, though the server works."""
        if zone.name not in self._ttls:
            return
        rtype, ttl = self._ttls[zone.name]
        name = f"consul.service.{zone.name}"
        reply = self._ask(self._server, name, rtype, dnssec=True)
        if not _there(reply):
            yield (
                f"{name} {rtype} at {_at(self._server)}: {reply} for clients that ask for DNSSEC;"
                f" it validates for them, and no exception is made for {zone.name}"
            )
        # The second time it may be what was kept of the first, however old.
        ttl = max(ttl, reply.ttl)
        for one in zone.servers[:MOST_ASKED] if ttl > SHORTEST_S else ():
            own = self._ask(one, name, rtype)
            if _there(own):
                if ttl > own.ttl + SHORTEST_S:
                    yield (
                        f"{name} {rtype} at {_at(self._server)} may be kept for {ttl} s, by what"
                        f" {_at(one)} says for {own.ttl} s: another setting of the server's keeps"
                        " what is gone for so long"
                    )
                return

    def wrong(self, zone: Zone) -> str:
        """Return what is wrong in a zone, or ""."""
        try:
            if zone.kind == FORWARD:
                self._look(zone, zone.name, "SOA", _told)
            elif zone.kind == REVERSE:
                self._look_up_an_address(zone)
            else:
                own = f"consul.service.{zone.name}"
                self._look_for_addresses(zone, own)
                self._look(zone, own, "SRV", _there)
                self._look(zone, f"{self._nobody}.service.{zone.name}", "A", _denied)
        except _Fault as fault:
            return str(fault)
        except _Unknown:
            pass
        return ""

    def _look_for_addresses(self, zone: Zone, name: str) -> None:
        """Both A and AAAA are asked by every program, though few clusters have both."""
        found: list[str] = []
        for rtype in ("A", "AAAA"):
            reply = self._look(zone, name, rtype, _exists)
            found += reply.records
            if _there(reply):
                self._ttls.setdefault(zone.name, (rtype, reply.ttl))
        self._addresses += found
        if not found:
            self._look(zone, name, "A", _there, others=("AAAA",))

    def _look_up_an_address(self, zone: Zone) -> None:
        pointers = (ip_address(one).reverse_pointer for one in self._addresses)
        known = next((name for name in pointers if within(name, zone.name)), None)
        if known is not None:
            # A server that answers private zones itself says that there is no such name.
            self._look(zone, known, "PTR", _there)
            return
        above, whole = next(one for one in _WHOLE.items() if within(zone.name, one[0]))
        lacking = whole + above.count(".") + 1 - (zone.name.count(".") + 1)
        self._look(zone, f"{'1.' * lacking}{zone.name}", "PTR", self._asked_about)

    @staticmethod
    def _asked_about(reply: Reply) -> bool:
        """Whether a reply about a reverse name may be Consul's, whose denials have its own SOA.

        A server that answers private zones itself has one of these.
        """
        return _told(reply) and not (_denied(reply) and is_reverse(reply.soa))

    def _look(
        self,
        zone: Zone,
        name: str,
        rtype: str,
        good: Callable[[Reply], bool],
        others: tuple[str, ...] = (),
    ) -> Reply:
        """Return the server's reply if it is `good`, else find out whether that is its fault.

        Those of `others` would do, too. Raises _Fault, or _Unknown where the zone's own servers
        say nothing better.
        """
        reply = self._ask(self._server, name, rtype)
        if good(reply):
            return reply
        said = f"{name} {rtype} at {_at(self._server)}: {reply}"
        replied = False
        for one in zone.servers[:MOST_ASKED]:
            for instead in (rtype, *others):
                own = self._ask(one, name, instead)
                replied |= not own.fault
                if good(own):
                    of = f" of {instead}" if instead != rtype else ""
                    raise _Fault(f"{said}, while {_at(one)} itself says {own}{of}{_soa(zone, own)}")
        if zone.kind == CONSUL:
            raise _Fault(f"{said}, and whom it asks says nothing better")
        self.silent += [] if replied else [zone.name]
        raise _Unknown


class _Fault(Exception):
    """The server says something else than those it asks."""


class _Unknown(Exception):
    """Nobody can tell what is right in a zone."""


def _soa(zone: Zone, reply: Reply) -> str:
    """What a server may object to in a reply of those it asks."""
    if not reply.soa or within(reply.soa, zone.name):
        return ""
    if _denied(reply):
        return f" with the SOA of {reply.soa}"
    return f", with the SOA of {reply.soa}, which some take from within {zone.name} alone"


def _at(server: NameServer) -> str:
    return f"{server.host}:{server.port}"
