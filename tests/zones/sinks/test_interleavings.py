"""Our steps and somebody else's writes, mixed at random: no change of theirs lost, no name empty.

The other one writes to names of its own and to ours, alone or while our messages are on their way;
the server raises its serial for each update, or once for several. After each message the zone is
looked at as a whole.

It is some hundreds of plans unless INTERLEAVINGS says how many; others each time by `make fuzz`:

    INTERLEAVINGS=10000 python -m pytest -n 0 tests/zones/sinks/test_interleavings.py
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from consulfwd.config.addresses import Endpoint
from consulfwd.config.zones import Ownership, UpdateTarget
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key, Records, RRset, difference
from consulfwd.zones.sinks import updates
from consulfwd.zones.sinks.faults import Fault
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.target import Push
from tests.zones.made import ORIGIN, records
from tests.zones.sinks.model import HERE, Model, Net

PLANS = int(os.environ.get("INTERLEAVINGS", "300"))
NAMES = ("web", "db", "mail", "_web._tcp")
THEIRS = records({"a A": "10.9.0.1", "a TXT": ['"x"'], "b A": "10.9.0.2", "b TXT": ['"x"']})


class Killed(BaseException):
    """Our process ends here."""


class Other:
    """Somebody else, who notes what is written.

    `taken` is how much of that was there when the zone was last transferred, `read` how much of it
    our plan knows of: all that is `unread` must stay.
    """

    def __init__(self, model: Model, rng: random.Random) -> None:
        self.model = model
        self.rng = rng
        self.written: list[tuple[Key, RRset | None]] = []
        self.taken = self.read = 0

    @property
    def unread(self) -> dict[Key, RRset | None]:
        return dict(self.written[self.read :])

    def write(self, *, joined: bool) -> None:
        """Change a set of theirs or of ours; with a serial for it, or with what comes next."""
        before = dict(self.model.records)
        key = self.rng.choice(list(THEIRS))
        if self.rng.random() < 0.5:
            key = Key(names.from_text(f"{self.rng.choice(NAMES)}.{ORIGIN}"), 1)
        data = frozenset(bytes((10, 9, 1, self.rng.randint(1, 9))) for _ in range(2))
        if key.type != 1:
            data = frozenset({b"\x01" + bytes((self.rng.randint(97, 122),))})
        alias = key._replace(type=5) in before
        rrset = None if alias or self.rng.random() < 0.2 else RRset(30, data)
        if rrset is None:
            self.model.records.pop(key, None)
        else:
            self.model.records[key] = rrset
        if self.model.records == before:
            return
        self.written.append((key, rrset))
        self.model.pending = before
        if not joined:
            self.model.flush()


def ours(rng: random.Random) -> Records:
    """A zone of ours: addresses or an alias at some names, and what leads to them."""
    given: dict[str, str | list[str]] = {}
    for name in NAMES[:3]:
        kind = rng.random()
        if kind < 0.6:
            given[f"{name} A"] = " ".join(f"10.0.0.{n}" for n in rng.sample(range(1, 6), 2))
        elif kind < 0.7:
            given[f"{name} CNAME"] = ["elsewhere.example.net."]
    if rng.random() < 0.7:
        given["_web._tcp SRV"] = [f"1 1 {rng.randint(1, 3)} web.svc.example.com."]
    return records(given, ttl=rng.choice([30, 30, 60]))


def leads(there: Records, name: bytes) -> bool:
    """Whether a name has what clients are led on by."""
    return any(Key(name, kind) in there for kind in (1, 5, 28))


def play(seed: int, ownership: Ownership, *, bulk: bool) -> tuple[int, int, int]:
    """One life of a zone; returns how many plans came into force, were refused, were killed."""
    rng = random.Random(seed)
    model = Model({} if ownership == "registry" else dict(ours(rng)))
    model.records.update(records({"a A": "10.9.0.1"}))
    net = Net(here=model)
    other = Other(model, rng)
    done = refused = killed = 0
    watched: set[bytes] = set()

    def before(server: Endpoint, what: str) -> None:
        around(joined=bulk and what == "UPDATE")

    def around(*, joined: bool) -> None:
        if rng.random() < 0.04:
            other.write(joined=joined)
        chance = rng.random()
        if chance < 0.02:
            model.flush()
            raise Killed if chance < 0.01 else Fault("did not answer", unsure=True)

    def look(server: Endpoint, what: str) -> None:
        for name in watched:
            taken_by_other = any(key.name == name for key in other.unread)
            assert leads(model.records, name) or taken_by_other, (seed, what, name)
        if what in ("AXFR", "IXFR"):
            other.taken = len(other.written)
        around(joined=False)

    net.before, net.after = before, look
    target = UpdateTarget(servers=(HERE,), ownership=ownership, owner="me")
    zone = UpdatedZone(target, names.from_text(ORIGIN), exchange=net, clock=lambda: 0.0)
    for _ in range(rng.randint(1, 3)):
        wanted = dict(ours(rng))
        try:
            base = zone.read()
            # What others write is theirs, marked or not: it is left as it is found.
            taken = {key.name for key in base.foreign}
            wanted = {key: one for key, one in wanted.items() if key.name not in taken}
            wanted.update((key, one) for key, one in base.ours.items() if key in THEIRS)
            other.read = other.taken
            watched.clear()
            watched |= {key.name for key in base.ours if leads(base.ours, key.name)} & {
                key.name for key in wanted if leads(wanted, key.name)
            }
            change = zone.change(Push(base, difference(base.ours, wanted)))
            with change:
                if change.plan():
                    try:
                        change.put()
                        if wrong := change.verify():
                            raise ApplyError("zone", wrong)
                    except ApplyError:
                        change.put_back()
                        raise
                    change.settle()
            done += 1
        except ApplyError:
            refused += 1
        except Killed:
            killed += 1
            zone = UpdatedZone(target, names.from_text(ORIGIN), exchange=net, clock=lambda: 0.0)
        # Whatever became of ours: all that the other one wrote since we read is there.
        for key, rrset in other.unread.items():
            assert model.records.get(key) == rrset, (seed, key)
        watched.clear()
    return done, refused, killed


@pytest.fixture(autouse=True, scope="module")
def small_messages() -> Iterator[None]:
    """A plan is several messages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updates, "ROOM", 260)
        yield


@pytest.mark.parametrize("bulk", [False, True], ids=["serial each", "serial for several"])
@pytest.mark.parametrize("ownership", get_args(Ownership))
def test_nothing_of_others_is_lost_and_no_name_is_ever_empty(
    ownership: Ownership, bulk: bool
) -> None:
    sums = [0, 0, 0]
    seed = 0
    while sum(sums) < PLANS // 6:
        found = play(seed, ownership, bulk=bulk)
        sums = [one + more for one, more in zip(sums, found, strict=True)]
        seed += 1
    assert min(sums) > PLANS // 60, sums


@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    seed=st.integers(1 << 20, 1 << 60), ownership=st.sampled_from(get_args(Ownership)),
    bulk=st.booleans(),
)  # fmt: skip
def test_nor_by_any_other_chance(seed: int, ownership: Ownership, bulk: bool) -> None:
    play(seed, ownership, bulk=bulk)
