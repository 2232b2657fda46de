"""The values that the modules of failover records hand to each other.

What belongs here: what a check found, what is known of an address, what a name is answered with,
and what people see of it. Must not know: settings, sockets, clocks. Pure. Moments are those of the
book's clock, which means nothing in another process; in `RecordState` and `AddressState` as people
see them they are times of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from consulfwd.words import printable

IP = IPv4Address | IPv6Address
# Letters of a reason: it stands in a line of the log, and in a TXT record.
LONGEST_REASON = 200


class Result(Enum):
    """What a check came to; ERROR: it could not be made, which says nothing of the target."""

    OK = "ok"
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check: its result, why in one line that can be shown, how long it took in seconds."""

    result: Result
    reason: str
    took: float

    def __post_init__(self) -> None:
        # Much of a reason was written by whoever was checked.
        object.__setattr__(self, "reason", shown(self.reason))


def shown(reason: str) -> str:
    """Return a reason as one line of LONGEST_REASON letters at most, all of which can be shown."""
    # Escapes are longer than what they stand for.
    line = printable(reason[:LONGEST_REASON].strip())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 3]}..."


class Address(NamedTuple):
    """An address of a record: in which pool (0 is the first), how much of that pool is its."""

    ip: IP
    pool: int
    weight: int = 1


class Check(Protocol):
    """How an address is checked. It keeps to its time, and never raises but for being cancelled."""

    async def __call__(self, address: Address) -> Outcome:
        """Return what was found."""


class Given(NamedTuple):
    """What a name is answered with: no address at all is NODATA.

    `pool` is the one that answers, None where none does (`all_down` says what is given then).
    `ttl` is in seconds. `why` is for people.
    """

    addresses: tuple[Address, ...]
    ttl: int
    pool: int | None
    why: str


@dataclass(frozen=True, slots=True)
class AddressState:
    """What is known of an address, for people.

    `up` is None while nothing is. `since` is since when (time of day, 0 where it is not known),
    `last` the last check and `checked` when that ended (0: not yet). `in_a_row` is how many checks
    in a row said the other thing than `up`, `needed` how many it takes. `forced` is "up" or "down"
    where people said so. `why` is what made it what it is. `votes` are those of other checkers that
    count, as "NAME: up".
    """

    address: Address
    up: bool | None
    since: float
    last: Outcome | None
    checked: float
    in_a_row: int
    needed: int
    forced: str = ""
    why: str = ""
    votes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Force:
    """What people said of addresses: `to` is "up" or "down".

    `glob` is of RECORD or RECORD/ADDRESS, `until` and `at` are times of the day (None: until it is
    taken back).
    """

    glob: str
    to: str
    until: float | None
    reason: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record, for people: what it is answered with (None: SERVFAIL), since when, and why.

    `pools` are their names. `preferred` is a pool that would be better and waits for `failback`:
    `back_at` is when (time of day), None where it waits for an order. `held` says why states are
    held at present, "" if they are not.
    """

    name: str
    given: Given | None
    since: float
    pools: tuple[str, ...]
    addresses: tuple[AddressState, ...]
    why: str
    preferred: int | None = None
    back_at: float | None = None
    held: str = ""
    forces: tuple[Force, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Something to be told: of which record ("" is all), what `kind` it is of, in words, when.

    Kinds: "answer" (another pool, or other addresses), "up", "down" (an address), "held" and
    "released" (states), "forced" and "unforced". `given` is with "answer". `at` is a time of day.
    """

    name: str
    kind: str
    said: str
    at: float
    given: Given | None = None
