"""The hot table: ready answers that take turns, every instance first equally often."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import dns.flags
import dns.message
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from consulfwd.core import hot
from consulfwd.core.hot import MAX_ENTRIES, MAX_OCTETS, MAX_VARIANTS, HotTable
from consulfwd.core.ready import PureReady
from consulfwd.dns import const
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record
from consulfwd.dns.turns import in_turn
from consulfwd.net import _fast
from tests.core.hot_twins import BOTH, entry, given, make, table_of
from tests.core.play import NAME, QUESTION, address, answer, denial, edns, query

# The 0.999 quantiles of the chi-squared distribution, by degrees of freedom.
CRITICAL = {2: 13.8, 4: 18.5, 15: 37.7, 59: 98.3}
NOW = 1000.0


def decoded(ready: list[bytes], limit: int = 65535) -> list[dns.message.Message]:
    """Return answers, decoded."""
    assert all(len(one) + 2 <= limit for one in ready)
    return [
        dns.message.from_wire(b"\0\0" + one, one_rr_per_rrset=True, ignore_trailing=False)
        for one in ready
    ]


def addresses(message: dns.message.Message) -> list[str]:
    return [str(rrset[0]) for rrset in message.answer]


def nth_address(ready: bytes, place: int) -> int:
    """Return the last octet of an address, read where it must stand (decoding takes long)."""
    at = 10 + len(QUESTION) + 16 * place
    assert ready[at : at + 4] == b"\xc0\x0c\0\1"
    return ready[at + 15]


def chi_squared(seen: Counter[int], kinds: int) -> float:
    expected = seen.total() / kinds
    counts = [*seen.values(), *[0] * (kinds - len(seen))]
    return sum((count - expected) ** 2 / expected for count in counts)


@BOTH
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("count", "limit", "cut"),
    [(3, 4096, False), (5, 4096, False), (16, 4096, False), (60, 4096, False), (60, 512, True)],
)
def test_every_instance_comes_first_equally_often(
    count: int, limit: int, cut: bool, place: int, twin: str
) -> None:
    asked = query(edns=edns(limit)) if limit > 512 else query()
    message = answer(count)
    seen: Counter[int] = Counter()
    for seed in range(100):
        ready = given(make(twin, asked, message, limit, seed), min(count, MAX_VARIANTS))
        assert all(len(one) + 2 <= limit for one in ready)
        assert all(bool(one[0] & 2) is cut for one in ready)
        seen.update(nth_address(one, place) for one in ready)
    assert chi_squared(seen, count) < CRITICAL[count - 1]


@BOTH
@pytest.mark.parametrize("count", [2, 3, 16, 40])
def test_in_one_round_nobody_comes_first_twice(count: int, twin: str) -> None:
    each = count if twin == "compiled" else min(count, MAX_VARIANTS)
    answers = given(make(twin, query(edns=edns(4096)), answer(count), 4096), 3 * each)
    for start in range(0, 3 * each, each):
        firsts = Counter(nth_address(one, 0) for one in answers[start : start + each])
        assert (len(firsts), set(firsts.values())) == (each, {1})


@BOTH
def test_answers_say_all_the_same(twin: str) -> None:
    (plain,) = decoded(given(make(twin, query(), answer(1), 512), 1))
    assert addresses(plain) == ["10.0.0.0"]
    for one in decoded(given(make(twin, query(), answer(5), 512), 20)):
        assert sorted(addresses(one)) == [f"10.0.0.{last}" for last in range(5)]
        assert one.rcode() == 0
        assert str(one.question[0].name) == "web.service.consul."


@BOTH
def test_who_is_second_varies(twin: str) -> None:
    """What a dead instance had goes to all others."""
    seen: dict[int, set[int]] = {}
    ready = given(make(twin, query(), answer(4), 512), 400)
    for one in ready:
        seen.setdefault(nth_address(one, 0), set()).add(nth_address(one, 1))
    if twin == "compiled":
        assert {len(one) for one in seen.values()} == {3}
    else:
        # There are 16 orders until they are made anew.
        assert max(len(one) for one in seen.values()) >= 2


ALIAS = build_record(NAME, const.CNAME, 0, from_text("www.example"))
OTHERS: dict[str, Message] = {
    "one record": answer(1),
    "an alias": assemble_message(QUESTION, ([ALIAS, address(1), address(2)], [], []), flags=0),
    "no such name": denial(),
}


@BOTH
@pytest.mark.parametrize("what", OTHERS)
def test_what_has_no_order_to_vary(what: str, twin: str) -> None:
    ready = make(twin, query(), OTHERS[what], 512)
    answers = given(ready, 5)
    assert len(set(answers)) == 1
    if isinstance(ready, PureReady):
        assert twin == "python"
        assert len(ready.replies) == 1
    assert ready.hits == 5


@pytest.mark.parametrize(("count", "kinds"), [(128, 16), (200, 10), (1024, 2), (2049, 1)])
def test_large_answers_are_varied_less(count: int, kinds: int) -> None:
    ready = given(make("python", query(edns=edns(65535)), answer(count), 65535), 20)
    assert len(set(ready)) == kinds


@BOTH
def test_ttls_are_those_of_the_body_given(twin: str) -> None:
    message = answer(3, ttl=300)
    body = message.body_with_ttls(100)
    for one in decoded(given(make(twin, query(), message, 512, body=body), 5)):
        assert {rrset.ttl for rrset in one.answer} == {200}


def put(
    table: HotTable, datagram: bytes, message: Message, *, ttl: float = 300.0, key: bytes = b"key"
) -> bytes:
    """Have an answer in the table; return the first one given."""
    kept = entry(message, NOW, ttl)
    body = message.body
    ready = table.make(query(), message, 512, body, random.Random(1))
    return table.put(datagram, key, kept, 0, ready, NOW + 1)()


def ttls(table: HotTable, datagram: bytes) -> set[int]:
    (read,) = decoded([table.answers[datagram]()])
    return {rrset.ttl for section in read.sections[1:] for rrset in section}


@BOTH
def test_the_table_grows_older(twin: str) -> None:
    table = table_of(twin)
    put(table, b"a", answer(3, ttl=300))
    put(table, b"zero", answer(3))
    assert table.age(NOW + 0.9, NOW + 1.9) == [b"key", b"key"]
    assert ttls(table, b"a") == {300}
    assert table.age(NOW + 1.9, NOW + 2.9) == [b"key"]
    assert ttls(table, b"zero") == {0}
    if twin == "python":
        # To make these anew is cheaper.
        assert b"a" not in table.answers
        return
    assert ttls(table, b"a") == {299}
    table.age(NOW + 250.1, NOW + 251)
    assert ttls(table, b"a") == {50}


@BOTH
def test_what_ends_before_the_next_second_leaves(twin: str) -> None:
    table = table_of(twin)
    put(table, b"in time", answer(3), ttl=2.0)
    put(table, b"too soon", answer(3), ttl=1.9)
    table.age(NOW + 1, NOW + 2)
    assert [*table.answers] == [b"in time"]
    assert table.octets > 0
    # Whoever looks may have it to its end.
    assert {one: ready.until for one, ready in table.ending.items()} == (
        {b"too soon": NOW + 1.9} if twin == "compiled" else {}
    )
    put(table, b"new", answer(3), ttl=0.5)
    assert (table.take(b"new") is None) is (twin == "python")
    table.age(NOW + 2, NOW + 3)
    assert (table.answers, table.ending, table.octets) == ({}, {}, 0)


@BOTH
def test_the_table_is_bounded(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "MAX_ENTRIES", 40)
    table, message = table_of(twin), answer(1)
    number = 0
    while table.has_room(entry(message), NOW + 1, again=True):
        put(table, number.to_bytes(2, "big"), message, key=number.to_bytes(2, "big"))
        number += 1
        if number == 10:
            assert not table.has_room(entry(message), NOW + 1, again=False)
    assert number == len(table.answers) == 40
    # Those nobody asked for make room, once there is little; as many as were asked for stay.
    assert len(table.age(NOW, NOW + 1)) == 40
    asked = [number.to_bytes(2, "big") for number in range(0, 40, 3)]
    for one in asked:
        table.answers[one]()
    assert sorted(table.age(NOW, NOW + 1)) == sorted(table.answers) == asked
    # Now there is much.
    table.age(NOW, NOW + 1)
    assert sorted(table.answers) == asked
    table.clear()
    assert (table.answers, table.octets) == ({}, 0)
    assert table.has_room(entry(message), NOW + 1, again=True)
    assert MAX_ENTRIES == 4096


@BOTH
def test_the_table_is_bounded_in_octets(twin: str) -> None:
    table, message = table_of(twin), answer(1000)
    number = 0
    asked = query(edns=edns(65535))
    while table.has_room(entry(message), NOW + 1, again=True):
        ready = table.make(asked, message, 65535, message.body, random.Random(1))
        table.put(number.to_bytes(2, "big"), b"key", entry(message), 0, ready, NOW + 1)
        number += 1
        assert table.octets <= MAX_OCTETS + hot.NOTED
    assert 100 <= number < MAX_OCTETS // 16_000
    assert table.octets > MAX_OCTETS - 40_000
    assert len(table.answers) == number


def srv(port: int, ttl: int) -> bytes:
    data = bytes(4) + port.to_bytes(2, "big") + from_text("one.node.consul")
    return build_record(NAME, const.SRV, ttl, data)


@BOTH
def test_other_answers_are_made_as_they_are_asked_for(twin: str) -> None:
    question = NAME + b"\0\x21\0\1"
    asked = query(qtype=const.SRV)
    message = assemble_message(question, ([srv(port, 300) for port in range(4)], [], []), flags=0)
    table = table_of(twin)
    ready = table.make(asked, message, 512, message.body, random.Random(1))
    give = table.put(b"srv", b"key", entry(message), 0, ready, NOW + 1)
    assert isinstance(ready, PureReady)
    assert len(ready.replies) == 0
    answers = [give() for _ in range(40)]
    assert len(ready.replies) == 16
    assert answers[:16] == answers[16:32]
    assert answers[:8] == answers[32:]
    table.age(NOW + 5, NOW + 6)
    if twin == "python":
        assert table.answers == {}
        return
    # All are made: now they only count down.
    later = [table.answers[b"srv"]() for _ in range(16)]
    assert {rrset.ttl for one in decoded(later) for rrset in one.answer} == {295}
    assert [one.replace(b"\0\0\1\x27", b"\0\0\1\x2c") for one in later] == answers[:16]


@settings(max_examples=60, deadline=None)
@forall(
    st.integers(2, 40), st.integers(0, 2**31 - 1), st.integers(0, 2**32), st.booleans(),
    st.integers(0, 2**31),
)  # fmt: skip
def test_twins_give_the_same(count: int, ttl: int, seed: int, cut: bool, age: int) -> None:
    """Compiled: the orders the twin may give, each first once in a round, TTLs as it has them."""
    limit = 512 if cut else 4096
    asked = query(edns=edns(limit)) if limit > 512 else query()
    message = answer(count, ttl=ttl)
    ready = make("compiled", asked, message, limit, seed)
    assert ready.age(age)
    got = given(ready, 2 * count)
    body = message.body_with_ttls(age)
    (one,) = islice(in_turn(asked, message, limit, body, random.Random(seed)), 1)
    size, begin = 16, 10 + len(QUESTION)
    shown = int.from_bytes(one[4:6], "big")
    end = begin + size * shown
    records = [body[at : at + size] for at in range(0, len(body), size)]
    for round in (got[:count], got[count:]):
        firsts = []
        for reply in round:
            assert (reply[:begin], reply[end:]) == (one[:begin], one[end:])
            order = [reply[at : at + size] for at in range(begin, end, size)]
            first = records.index(order[0])
            rest = records[:first] + records[first + 1 :]
            turn = rest.index(order[1]) if shown > 1 else 0
            assert order[1:] == (rest[turn:] + rest[:turn])[: shown - 1]
            firsts.append(first)
        assert sorted(firsts) == list(range(count))


@settings(max_examples=200, deadline=None)
@forall(st.binary(max_size=80), st.binary(max_size=64), st.integers(0, 40), st.integers(0, 40))
def test_what_is_no_message_is_refused(
    reply: bytes, records: bytes, begin: int, size: int
) -> None:
    try:
        ready = _fast.Ready([reply], begin, size, records, 1)
    except ValueError:
        return
    ready.age(1)
    assert len(ready()) == len(reply)


@pytest.mark.parametrize("shift", range(-3, 4))
@pytest.mark.parametrize("size", [0, 1, 16, 28])
def test_records_are_within_the_reply(shift: int, size: int) -> None:
    message = answer(3)
    (reply,) = given(make("python", query(), message, 512), 1)
    begin = 10 + len(QUESTION) + 16 * shift
    bodies = (message.body, message.body[:16], message.body[:-1], message.body * 2, b"")
    for body in bodies:
        try:
            ready = _fast.Ready([reply], begin, size, body, 0)
        except ValueError:
            continue
        for _ in range(8):
            assert len(ready()) == len(reply)
    for wrong in ([], [reply] * 65, [b""], [bytes(65534)], [reply[:-1]]):
        with pytest.raises(ValueError, match=r"none|no longer|no message"):
            _fast.Ready(wrong)
    with pytest.raises(ValueError, match="are bytes"):
        _fast.Ready([None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="back"):
        _fast.Ready([reply]).age(-1)


@BOTH
def test_addresses_are_put_in_order_as_they_stand(
    monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("read record by record")

    monkeypatch.setattr(Message, "sections", never)
    for count, limit in ((60, 4096), (60, 512), (600, 65535)):
        message = answer(count)
        asked = query(edns=edns(limit)) if limit > 512 else query()
        ready = given(make(twin, asked, message, limit), 1)
        (read,) = (dns.message.from_wire(b"\0\0" + one, one_rr_per_rrset=True) for one in ready)
        assert bool(read.flags & dns.flags.TC) is (count * 16 > limit)
        found = addresses(read)
        assert len(set(found)) == len(found)
        assert len(found) == count or read.flags & dns.flags.TC
        assert message.body[: 16 * len(found)] not in ready[0]
