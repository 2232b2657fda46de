"""What transfers come to, a record after the other: only what is whole is a zone."""

from __future__ import annotations

import random

import pytest

from consulfwd.dns import const, names
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.sinks.transfers import Contents, Record, Transfer, Unusable
from tests.zones.sinks.model import soa_of

ZONE = names.from_text("svc.example.com")
NS = Record(ZONE, const.NS, 300, names.from_text("ns.example.com"))


def soa(serial: int) -> Record:
    return Record(ZONE, const.SOA, 300, soa_of(serial))


def a(name: str, last: int, ttl: int = 30) -> Record:
    return Record(names.from_text(f"{name}.svc.example.com"), const.A, ttl, bytes((10, 0, 0, last)))


def contents(serial: int, *records: Record) -> Contents:
    sets: dict[Key, RRset] = {}
    for one in (NS, *records):
        key = Key(one.name, one.type)
        data = sets.get(key, RRset(0, frozenset())).data | {one.data}
        sets[key] = RRset(one.ttl, data)
    return Contents(ZONE, soa_of(serial), sets)


def taken(
    records: list[Record], known: Contents | None = None, size: int = 1
) -> Contents | str | None:
    """The zone, or why it cannot be used, or None while there is more to come."""
    transfer = Transfer(ZONE, known)
    done = False
    try:
        for at in range(0, len(records), size):
            done = transfer.take(records[at : at + size])
        return transfer.contents() if done else None
    except Unusable as error:
        return error.what.partition(": ")[2]


KNOWN = contents(5, a("web", 1), a("web", 2), a("db", 3))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("known", [None, KNOWN], ids=["AXFR", "IXFR"])
def test_a_whole_zone(known: Contents | None, size: int) -> None:
    records = [soa(7), NS, a("web", 1), a("web", 9), soa(7)]
    assert taken(records, known, size) == contents(7, a("web", 1), a("web", 9))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_changes_one_after_the_other(size: int) -> None:
    records = [
        soa(7),
        soa(5), a("web", 1), a("db", 3), soa(6), a("mail", 4),
        soa(6), a("web", 2), soa(7), a("web", 2, ttl=60), a("mail", 5),
        soa(7),
    ]  # fmt: skip
    wanted = contents(7, a("web", 2, ttl=60), a("mail", 4), a("mail", 5))
    assert taken(records, KNOWN, size) == wanted
    assert contents(5, a("web", 1), a("web", 2), a("db", 3)) == KNOWN


def test_no_changes() -> None:
    assert taken([soa(5)], KNOWN) == KNOWN


def test_a_server_that_is_behind_is_told_apart() -> None:
    with pytest.raises(Unusable, match="older than 5") as caught:
        Transfer(ZONE, KNOWN).take([soa(4)])
    assert caught.value.behind


def test_what_signers_add_and_what_is_elsewhere_is_left_out() -> None:
    for kind in (46, 47, 48, 50, 51):
        assert taken(
            [soa(7), NS, a("web", 1)._replace(type=kind), soa(7)]
        ) == contents(7)
    elsewhere = a("x", 1)._replace(name=names.from_text("ns.example.com"))
    assert taken([soa(7), NS, elsewhere, soa(7)]) == contents(7)


@pytest.mark.parametrize(
    ("records", "known", "why"),
    [
        ([soa(7), soa(7)], None, "the zone is empty"),
        ([soa(7), a("web", 1), soa(7)], None, "the zone is empty"),
        ([NS, soa(7)], None, "it begins with svc.example.com. NS"),
        ([soa(7)._replace(name=b"\3org\0"), NS], None, "it begins with org. SOA"),
        ([soa(7), NS, a("web", 1), soa(8)], None, "its last SOA record is not its first"),
        ([soa(7), NS, soa(7), a("web", 1)], None, "records after its last SOA record"),
        ([soa(7), soa(5), soa(6), a("x", 1), soa(7)], KNOWN, "changes end before its serial"),
        ([soa(7), soa(5), soa(6), soa(4)], KNOWN, "changes do not follow each other"),
        ([soa(7), soa(5), a("x", 1), soa(7), soa(7)], KNOWN, "it takes away what x.svc"),
        ([soa(7), soa(6), soa(7), soa(7)], KNOWN, "its last SOA record is not its first"),
        ([soa(5), soa(5)], KNOWN, "records after"),
    ],
)
def test_what_is_not_whole_is_no_zone(
    records: list[Record], known: Contents | None, why: str
) -> None:
    found = taken(records, known)
    assert isinstance(found, str)
    assert found.startswith(why)


@pytest.mark.parametrize("known", [None, KNOWN], ids=["AXFR", "IXFR"])
def test_cut_anywhere_it_is_not_done(known: Contents | None) -> None:
    records = [soa(7), NS, a("web", 1), a("db", 2), soa(7)]
    if known is not None:
        records = [soa(7), soa(5), a("web", 1), soa(6), soa(6), soa(7), a("web", 8), soa(7)]
    for end in range(len(records)):
        assert taken(records[:end], known) is None
    assert taken(records, known) is not None


def test_a_message_without_records_is_refused() -> None:
    with pytest.raises(Unusable, match="without records"):
        Transfer(ZONE).take([])


def test_whatever_comes_only_unusable_leaves() -> None:
    rng = random.Random(11)
    pool = [soa(5), soa(6), soa(7), NS, a("web", 1), a("web", 2), a("db", 3), a("x", 1)]
    whole = 0
    for _ in range(20_000):
        records = [rng.choice(pool) for _ in range(rng.randint(1, 9))]
        known = rng.choice([None, KNOWN])
        found = taken(records, known, rng.randint(1, 4))
        if isinstance(found, Contents):
            whole += 1
            # It ended with the SOA record it began with, and has what a zone must have.
            assert found.soa == records[0].data == records[-1].data
            assert (ZONE, const.NS) in found.records
    assert whole > 100


def srv(host: str, raw: str = "") -> Record:
    """An SRV record; `raw` is the host as the server spells it."""
    head = b"\0\1\0\1\0\x50"
    wire = head + names.from_text(host)
    # As it came: names are not folded.
    spelled = wire.replace(names.from_text(host), names.from_text(host).replace(b"web", b"WeB"))
    return Record(
        names.from_text("_x._tcp.svc.example.com"), const.SRV, 30, wire, spelled if raw else b""
    )


def test_how_data_are_spelled_is_known_as_long_as_they_are_there() -> None:
    """What is to be deleted is named to the letter, and compared without regard to case."""
    odd, plain = srv("web.svc.example.com", "x"), srv("web.svc.example.com")
    key = Key(odd.name, odd.type)
    first = taken([soa(5), NS, odd, soa(5)])
    assert isinstance(first, Contents)
    assert dict(first.spelled) == {(key, odd.data): odd.raw}
    assert first.records[key].data == {plain.data}
    # Others come and go.
    second = taken([soa(6), soa(5), soa(6), a("db", 1), soa(6)], first)
    assert isinstance(second, Contents)
    assert second.spelled == first.spelled
    # It is spelled anew, or goes.
    for come, spelled in (([plain], {}), ([odd], {(key, odd.data): odd.raw}), ([], {})):
        third = taken([soa(7), soa(6), odd, soa(7), *come, soa(7)], second)
        assert isinstance(third, Contents)
        assert dict(third.spelled) == spelled


def test_the_lowest_ttl_of_a_set_counts() -> None:
    """RFC 2181 section 5.2: PowerDNS lets them differ."""
    for ttls in ((30, 300), (300, 30)):
        given = [a("web", 1, ttls[0]), a("web", 2, ttls[1])]
        found = taken([soa(5), NS, *given, soa(5)])
        assert isinstance(found, Contents)
        assert found.records[Key(given[0].name, const.A)].ttl == 30
    # A change takes all away and brings them with another one.
    old, new = [a("web", 1), a("web", 2)], [a("web", 1, 60), a("web", 2, 60)]
    found = taken([soa(6), soa(5), *old, soa(6), *new, soa(6)], contents(5, *old))
    assert isinstance(found, Contents)
    assert found.records[Key(old[0].name, const.A)].ttl == 60
