"""Transfers: what a secondary has afterwards is what the zone holds."""

from __future__ import annotations

import random
from ipaddress import ip_address
from itertools import islice

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.dns import const
from consulfwd.zones.model import Act, Key, RRset, difference
from consulfwd.zones.primary import answering, transfers
from consulfwd.zones.primary.versions import Versions
from tests.zones.made import ORIGIN
from tests.zones.primary.pulled import (
    APEX,
    WIRE,
    Site,
    altered,
    become,
    change,
    secondary,
    serial_of,
    shown,
    some_records,
    take,
    versions,
    wanted,
)


def open_site(held: Versions) -> Site:
    """Without keys, whose times are of no interest here."""
    return Site(held, None, unsigned=True)


# What becomes of some sets: gone, or so many addresses with that TTL; and the number of servers.
_SETS = st.one_of(st.none(), st.tuples(st.sampled_from((30, 60)), st.integers(1, 3)))
_CHANGE = st.tuples(st.dictionaries(st.integers(0, 5), _SETS, max_size=4), st.integers(1, 2))


@settings(max_examples=50)
@given(st.lists(_CHANGE, max_size=4), st.lists(_CHANGE, min_size=1, max_size=8))
def test_whatever_changes_ixfr_leads_to_what_axfr_gives(
    before: list[tuple[dict[int, tuple[int, int] | None], int]],
    after: list[tuple[dict[int, tuple[int, int] | None], int]],
) -> None:
    """A secondary that pulled between them gets the second ones in one, the apex's too."""
    held = versions({}, 1)
    site = open_site(held)
    lagging, whole = secondary(), secondary()

    def become_so(sets: dict[int, tuple[int, int] | None], servers: int) -> None:
        records = dict(held.content.records)
        for index, made in sets.items():
            key = Key(b"\1%c" % (97 + index) + WIRE, const.A)
            records.pop(key, None)
            if made is not None:
                ttl, number = made
                records[key] = RRset(ttl, frozenset(b"\n\0\0%c" % one for one in range(number)))
        apex = APEX._replace(servers=APEX.servers[:servers])
        change(held, difference(held.content.records, records), apex=apex)

    for one in before:
        become_so(*one)
    site.pull(lagging, keyed=False)
    for one in after:
        become_so(*one)
    site.pull(lagging, ixfr=True, keyed=False)
    site.pull(whole, keyed=False)
    assert shown(lagging) == shown(whole) == wanted(held)
    assert serial_of(lagging) == serial_of(whole) == held.serial


def test_a_difference_is_small() -> None:
    rng = random.Random(1)
    held = versions(some_records(rng, 100), 1)
    site = open_site(held)
    zone = secondary()
    whole = sum(map(len, site.pull(zone, keyed=False)))
    for _ in range(5):
        after = altered(rng, held.content.records, 2)
        change(held, difference(held.content.records, after))
        assert sum(map(len, site.pull(zone, ixfr=True, keyed=False))) < whole / 3


def test_the_records_of_a_difference() -> None:
    db = "10.0.0.5 10.0.0.6 10.0.0.7"
    held = versions({"web A": "10.0.0.1 10.0.0.2", "db A": db}, 1)
    become(held, {"web A": "10.0.0.2 10.0.0.4", "db A": db})
    assert sections(held, 1) == [
        "SOA 2", "SOA 1", "web 30 10.0.0.1", "SOA 2", "web 30 10.0.0.4", "SOA 2",
    ]  # fmt: skip
    # A TTL is of all of a set (RFC 2181 section 5.2).
    key = next(key for key in held.content.records if key.name.startswith(b"\3web"))
    rrset = held.content.records[key]
    change(held, [Act(key, rrset, RRset(60, rrset.data))])
    assert sections(held, 2) == [
        "SOA 3", "SOA 2", "web 30 10.0.0.2", "web 30 10.0.0.4",
        "SOA 3", "web 60 10.0.0.2", "web 60 10.0.0.4", "SOA 3",
    ]  # fmt: skip
    # One that went is as one that was never told of, from one to the other.
    assert sections(held, 3) == sections(held, 4) == ["SOA 3"]


def sections(held: Versions, serial: int) -> list[str]:
    """The records of an IXFR in their order, sets sorted."""
    site = open_site(held)
    query = dns.message.make_query(ORIGIN, "IXFR")
    query.authority.append(
        dns.rrset.from_text(f"{ORIGIN}.", 0, "IN", "SOA", f". . {serial} 0 0 0 0")
    )
    (reply,) = site.send(query.to_wire())
    found: list[str] = []
    for rrset in dns.message.from_wire(reply, one_rr_per_rrset=True).answer:
        if rrset.rdtype == const.SOA:
            found.append(f"SOA {rrset[0].serial}")
        else:
            found.append(f"{rrset.name.labels[0].decode()} {rrset.ttl} {rrset[0]}")
    result: list[str] = []
    part: list[str] = []
    for one in found:
        if one.startswith("SOA"):
            result += [*sorted(part), one]
            part = []
        else:
            part.append(one)
    return result


def test_all_of_it_where_a_difference_is_not_known_or_is_larger() -> None:
    rng = random.Random(2)
    held = versions(some_records(rng, 20), 100)
    site = open_site(held)
    zone = secondary()
    site.pull(zone, keyed=False)
    change(held, difference(held.content.records, some_records(rng, 20)))
    assert len(sections(held, 99)) > 20
    site.pull(zone, ixfr=True, keyed=False)
    assert shown(zone) == wanted(held)
    # One serial more on the secondary than here: it has what is newer.
    assert sections(held, 102) == ["SOA 101"]


def test_over_udp_what_fits() -> None:
    held = versions({f"web-{one} A": "10.0.0.1" for one in range(100)}, 1)
    site = open_site(held)
    zone = secondary()
    site.pull(zone, keyed=False)
    become(held, {f"web-{one} A": "10.0.0.1" for one in range(101)})
    site.pull(zone, ixfr=True, stream=False, keyed=False)
    assert shown(zone) == wanted(held)
    become(held, {f"web-{one} A": "10.0.0.2" for one in range(60)})
    (reply,) = site.send(ixfr_query(2), stream=False)
    found = dns.message.from_wire(reply)
    assert [(one.rdtype, len(one)) for one in found.answer] == [(const.SOA, 1)]
    assert not found.flags & dns.flags.TC
    assert found.answer[0][0].serial == 3


def ixfr_query(serial: int) -> bytes:
    query = dns.message.make_query(ORIGIN, "IXFR")
    soa = dns.rrset.from_text(f"{ORIGIN}.", 0, "IN", "SOA", f". . {serial} 0 0 0 0")
    query.authority.append(soa)
    return query.to_wire()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Messages that are soon full."""
    monkeypatch.setattr(transfers, "FULL", 2_000)
    return 2_000


@pytest.mark.usefixtures("small")
def test_many_messages_are_of_one_version() -> None:
    rng = random.Random(3)
    held = versions(some_records(rng, 200), 1)
    before = wanted(held)
    site = open_site(held)
    query = dns.message.make_query(ORIGIN, "AXFR")
    asked = answering.Asked(query.to_wire(), ip_address("127.0.0.1"), True)
    messages = iter(answering.answer({WIRE: site.served}, asked, site.clock).messages)
    first = list(islice(messages, 2))
    change(held, difference(held.content.records, some_records(rng, 100)))
    rest = list(messages)
    assert len(rest) > 3
    zone = secondary()
    take(zone, query, first + rest, None)
    assert shown(zone) == before
    assert serial_of(zone) == 1


@pytest.mark.usefixtures("small")
def test_a_set_that_is_larger_than_a_message() -> None:
    addresses = frozenset(number.to_bytes(4, "big") for number in range(600))
    key = Key(b"\3web" + WIRE, const.A)
    held = versions({key: RRset(30, addresses)}, 1)
    site = open_site(held)
    zone = secondary()
    messages = site.pull(zone, keyed=False)
    assert len(messages) > 3
    assert shown(zone) == wanted(held)
    change(held, [Act(key, RRset(30, addresses), None)])
    change(held, [Act(key, None, RRset(60, addresses))])
    site.pull(zone, ixfr=True, keyed=False)
    assert shown(zone) == wanted(held)


@pytest.mark.parametrize("name", [ORIGIN.upper(), "SVC.example.com"])
def test_another_spelling_of_the_question(name: str) -> None:
    """Names that point to the question would be spelled like it (RFC 5936 section 3.4)."""
    rng = random.Random(4)
    held = versions(some_records(rng, 50), 1)
    site = open_site(held)
    zone = secondary()
    for ixfr in (False, True):
        messages = site.pull(zone, keyed=False, name=name, ixfr=ixfr)
        assert shown(zone) == wanted(held)
        records = b"".join(one[12 + len(WIRE) + 4 :] for one in messages)
        assert b"SVC" not in records
        assert WIRE in records
        change(held, difference(held.content.records, some_records(rng, 40)))


def test_names_are_compressed() -> None:
    held = versions({f"web-{one} A": "10.0.0.1" for one in range(200)}, 1)
    messages = open_site(held).pull(secondary(), keyed=False)
    assert sum(map(len, messages)) < 200 * (8 + 2 + 14) + 200


def test_a_message_is_not_fuller_than_it_should_be(small: int) -> None:
    held = versions(some_records(random.Random(5), 200), 1)
    messages = open_site(held).pull(secondary(), keyed=False)
    assert len(messages) > 3
    assert all(len(one) < small + 200 for one in messages)
    assert all(len(one) > small - 400 for one in messages[:-1])
    # A message of a stream is never larger than its length can say.
    assert transfers.FULL < answering.STREAM
