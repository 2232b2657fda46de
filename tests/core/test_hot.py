"""The hot table: ready answers that take turns, every instance first equally often."""

from __future__ import annotations

import random
from collections import Counter

import dns.flags
import dns.message
import pytest

from consulfwd.core import hot
from consulfwd.core.hot import MAX_ENTRIES, MAX_VARIANTS, HotTable, variants
from consulfwd.dns import const
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record
from tests.core.play import NAME, QUESTION, address, answer, denial, edns, query

# The 0.999 quantiles of the chi-squared distribution, by degrees of freedom.
CRITICAL = {2: 13.8, 4: 18.5, 15: 37.7, 59: 98.3}


def made(message: Message, limit: int = 4096, seed: int = 1) -> list[dns.message.Message]:
    """Return the variants of an answer, decoded."""
    asked = query(edns=edns(limit)) if limit > 512 else query()
    ready = variants(asked, message, limit, message.body, random.Random(seed))
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


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("count", "limit", "cut"),
    [(3, 4096, False), (5, 4096, False), (16, 4096, False), (60, 4096, False), (60, 512, True)],
)
def test_every_instance_comes_first_equally_often(
    count: int, limit: int, cut: bool, place: int
) -> None:
    assert all(bool(one.flags & dns.flags.TC) is cut for one in made(answer(count), limit))
    asked = query(edns=edns(limit)) if limit > 512 else query()
    message = answer(count)
    seen: Counter[int] = Counter()
    for seed in range(100):
        ready = variants(asked, message, limit, message.body, random.Random(seed))
        seen.update(nth_address(one, place) for one in ready)
    assert chi_squared(seen, count) < CRITICAL[count - 1]


@pytest.mark.parametrize("count", [2, 3, 16, 40])
def test_in_one_table_nobody_comes_first_twice(count: int) -> None:
    firsts = Counter(addresses(one)[0] for one in made(answer(count)))
    assert len(firsts) == min(count, MAX_VARIANTS)
    assert set(firsts.values()) == {1}


def test_variants_say_all_the_same() -> None:
    plain = sorted(addresses(made(answer(1))[0]))
    assert plain == ["10.0.0.0"]
    for one in made(answer(5)):
        assert sorted(addresses(one)) == [f"10.0.0.{last}" for last in range(5)]
        assert one.rcode() == 0
        assert str(one.question[0].name) == "web.service.consul."


ALIAS = build_record(NAME, const.CNAME, 0, from_text("www.example"))
OTHERS: dict[str, Message] = {
    "one record": answer(1),
    "an alias": assemble_message(QUESTION, ([ALIAS, address(1), address(2)], [], []), flags=0),
    "no such name": denial(),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_has_no_order_to_vary(what: str) -> None:
    assert len(made(OTHERS[what])) == 1


@pytest.mark.parametrize(("count", "kinds"), [(128, 16), (200, 10), (1024, 2), (2049, 1)])
def test_large_answers_are_varied_less(count: int, kinds: int) -> None:
    message = answer(count)
    ready = variants(query(edns=edns(65535)), message, 65535, message.body, random.Random(1))
    assert len({nth_address(one, 0) for one in ready} if count < 256 else set(ready)) == kinds


def test_the_ttls_are_those_of_the_body_given() -> None:
    message = answer(3, ttl=300)
    body = message.body_with_ttls(100)
    ready = variants(query(), message, 512, body, random.Random(1))
    for one in ready:
        decoded = dns.message.from_wire(b"\0\0" + one)
        assert {rrset.ttl for rrset in decoded.answer} == {200}


def test_the_table_takes_turns_and_forgets() -> None:
    table = HotTable()
    table.put(b"a", [b"1", b"2", b"3"])
    assert [table.answers[b"a"]() for _ in range(7)] == [b"1", b"2", b"3", b"1", b"2", b"3", b"1"]
    table.clear()
    assert table.answers == {}


def test_the_table_is_bounded() -> None:
    table = HotTable()
    for number in range(MAX_ENTRIES + 10):
        table.put(number.to_bytes(2, "big"), [b"answer"])
    assert len(table.answers) == MAX_ENTRIES
    table.clear()
    table.put(b"new", [b"answer"])
    assert table.answers[b"new"]() == b"answer"
    assert hot.MAX_ENTRIES == 4096


def test_addresses_are_put_in_order_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("read record by record")

    monkeypatch.setattr(Message, "sections", never)
    for count, limit in ((60, 4096), (60, 512), (600, 65535)):
        message = answer(count)
        asked = query(edns=edns(limit)) if limit > 512 else query()
        ready = variants(asked, message, limit, message.body, random.Random(1), most=1)
        (read,) = (dns.message.from_wire(b"\0\0" + one, one_rr_per_rrset=True) for one in ready)
        assert bool(read.flags & dns.flags.TC) is (count * 16 > limit)
        found = addresses(read)
        assert len(set(found)) == len(found)
        assert len(found) == count or read.flags & dns.flags.TC
        assert message.body[: 16 * len(found)] not in ready[0]
