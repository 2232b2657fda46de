"""What queries for a name that moves get: its addresses, why it has none, and its state as text.

The name is a zone of its own, with a SOA that exists here only; beside its addresses it has
nothing. `_failover.NAME` has texts that say how its addresses are. Pure: the clock is passed in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from consulfwd.core.routes import Kind, Moved, Route
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import MAX_NAME, from_text
from consulfwd.dns.records import build_record
from consulfwd.failover.model import Address, AddressState, Given, RecordState
from consulfwd.words import duration

if TYPE_CHECKING:
    import random

STATE_LABEL = "_failover"
WAITS = (const.EDE_NOT_READY, "not enough is known of its addresses yet")
# All texts of an answer, in octets: it must go into a message.
MOST_TEXT = 48 << 10
# How long (seconds) texts are given before they are made anew: whoever may ask may ask often.
KEPT = 0.5
# What follows the name of the server in a SOA: a mailbox, and numbers as in `replies.local_answer`.
_NUMBERS = (1, 3600, 1200, 604800, replies.NEGATIVE_TTL)
_SOA = from_text("nobody.invalid") + struct.pack("!5I", *_NUMBERS)
_VERSIONS = {const.A: 4, const.AAAA: 6}


class Says(Protocol):
    """Who decides what names are answered with (`book.Book`)."""

    def answer(self, name: str, qtype: int, rng: random.Random) -> Given | None:
        """Return what a name is answered with, in the order of the answer; None: not known yet."""

    def view(self, name: str) -> RecordState:
        """Return what is known of a name, for people."""


class _Record:
    """What both names of a record have in common (see `core.routes.Moves`)."""

    def __init__(
        self, name: str, says: Says, wall: Callable[[], float], rng: random.Random
    ) -> None:
        self._name = name
        self._zone = from_text(name).lower()
        self._soa = self._zone + _SOA
        self._says = says
        self._wall = wall
        self._rng = rng

    def reasons(self) -> list[str]:
        """Return why that is the answer, and how the addresses are."""
        return list(lines(self._says.view(self._name), self._wall()))

    def _nothing(self, question: bytes, ttl: int) -> Moved:
        shown = min(ttl, replies.NEGATIVE_TTL)
        authority = [build_record(self._zone, const.SOA, shown, self._soa)]
        return Moved(assemble_message(question, ([], authority, []), flags=const.AA))


class Addresses(_Record):
    """The name itself. What was given last is at hand for as long as it is the same."""

    def __init__(
        self, name: str, says: Says, wall: Callable[[], float], rng: random.Random
    ) -> None:
        super().__init__(name, says, wall, rng)
        self._last: dict[int, tuple[int, tuple[Address, ...], Message]] = {}

    def answer(self, question: bytes) -> Moved:
        """Return the addresses of the family asked for; SERVFAIL before any is known."""
        qtype = int.from_bytes(question[-4:-2], "big")
        version = _VERSIONS.get(qtype)
        if version is None:
            return self._nothing(question, replies.NEGATIVE_TTL)
        given = self._says.answer(self._name, qtype, self._rng)
        if given is None:
            return Moved(replies.empty(question, const.SERVFAIL), WAITS)
        last = self._last.get(qtype)
        if last is not None and last[:2] == (given.ttl, given.addresses):
            return Moved(last[2])
        packed = (one.ip.packed for one in given.addresses if one.ip.version == version)
        # Two pools may have an address in common; an RRset has it once (RFC 2181 section 5).
        found = list(dict.fromkeys(packed))
        if not found:
            # Another pool may have some: this holds no longer than an address does.
            message = self._nothing(question, given.ttl).message
        else:
            message = _made(question, qtype, given.ttl, found)
        self._last[qtype] = given.ttl, given.addresses, message
        return Moved(message)


class Texts(_Record):
    """`_failover.` and the name; up to `KEPT` old, as to make what it says takes milliseconds."""

    def __init__(
        self, name: str, says: Says, wall: Callable[[], float], rng: random.Random
    ) -> None:
        super().__init__(name, says, wall, rng)
        self._at = float("-inf")
        self._told: list[bytes] = []

    def answer(self, question: bytes) -> Moved:
        """Return how the record and each of its addresses is, a text each; TTL 0."""
        if int.from_bytes(question[-4:-2], "big") != const.TXT:
            return self._nothing(question, replies.NEGATIVE_TTL)
        now = self._wall()
        if not 0 <= now - self._at < KEPT:
            self._at, self._told = now, self._texts()
        return Moved(_made(question, const.TXT, 0, self._told))

    def _texts(self) -> list[bytes]:
        told: list[bytes] = []
        left = MOST_TEXT
        for line in self.reasons():
            rdata = character_strings(line)
            left -= len(rdata)
            if left < 0:
                break
            told.append(rdata)
        return list(dict.fromkeys(told))


def routes_of(
    name: str, says: Says, wall: Callable[[], float], rng: random.Random
) -> Iterator[Route]:
    """Yield the routes of a name that moves; both are for a single name.

    `wall` tells the time of day, which `RecordState` is in.
    """
    addresses = Addresses(name, says, wall, rng)
    zone = from_text(name).lower()
    yield Route(zone, Kind.MOVES, why="a failover record", moves=addresses)
    state = from_text(STATE_LABEL)[:-1] + zone
    if len(state) <= MAX_NAME:
        why = f"the state of the failover record {name}"
        yield Route(state, Kind.MOVES, why=why, moves=Texts(name, says, wall, rng))


def lines(state: RecordState, wall: float) -> Iterator[str]:
    """Yield what is known of a record at this time of day: of all first, then of each address."""
    yield f"{summary(state)}{_for(state.since, wall)}: {state.why}"
    if state.held:
        yield f"states are held: {state.held}"
    for one in state.addresses:
        yield f"{one.address.ip} ({state.pools[one.address.pool]}): {of_address(one, wall)}"


def summary(state: RecordState) -> str:
    """Return what a record is answered with, in a few words."""
    given = state.given
    if given is None:
        return "SERVFAIL"
    if not given.addresses:
        return "no address"
    addresses = ", ".join(dict.fromkeys(str(one.ip) for one in given.addresses))
    return addresses if given.pool is None else f"{state.pools[given.pool]}, {addresses}"


def of_address(one: AddressState, wall: float) -> str:
    """Return how an address is, since when, and what the last check of it said."""
    up = {True: "up", False: "down", None: "not known yet"}[one.up]
    told = f"{up}{_for(one.since, wall)}"
    if one.forced:
        told += f", forced {one.forced}"
    if one.last is None:
        told += ", not checked yet"
    else:
        ago = duration(max(wall - one.checked, 0.0))
        told += f", checked {ago} ago: {one.last.result.value}, {one.last.reason}"
    if one.in_a_row and not one.forced:
        told += f" ({one.in_a_row} of {one.needed} in a row that say otherwise)"
    if one.votes:
        told += f"; others: {', '.join(one.votes)}"
    known = one.last.reason if one.last is not None else ""
    return f"{told}; {one.why}" if one.why and one.why != known else told


def character_strings(text: str) -> bytes:
    """Return a text as the data of a TXT record (RFC 1035 section 3.3.14): parts of 255 octets."""
    octets = text.encode(errors="replace")
    parts = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
    return b"".join(bytes((len(part),)) + part for part in parts)


def _for(since: float, wall: float) -> str:
    return f" for {duration(max(wall - since, 0.0))}" if since else ""


def _made(question: bytes, qtype: int, ttl: int, rdatas: list[bytes]) -> Message:
    owner = question[:-4]
    records = [build_record(owner, qtype, ttl, rdata) for rdata in rdatas]
    return assemble_message(question, (records, [], []), flags=const.AA)
