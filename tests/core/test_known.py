"""Replies seen before: known in any order of their records, and in no other way changed."""

from __future__ import annotations

import random
from itertools import permutations

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.known import FEW, Known
from consulfwd.dns import const
from consulfwd.dns.message import read_reply
from consulfwd.dns.replies import respond
from tests.core.play import QUESTION, edns, query

BEGIN = 12 + len(QUESTION)
OPT = b"\0\0\x29\xff\xff\0\0\0\0\0\0"
SIX = QUESTION[:-4] + b"\0\x1c\0\1"


def record(number: int, ttl: int = 0, qtype: int = const.A) -> bytes:
    rdata = bytes((10, 0, number >> 8, number & 255))
    rdata = rdata if qtype == const.A else bytes(12) + rdata
    head = b"\xc0\x0c\0" + bytes((qtype, 0, 1)) + ttl.to_bytes(4, "big")
    return head + len(rdata).to_bytes(2, "big") + rdata


def reply(records: list[bytes], question: bytes = QUESTION, opt: bytes = OPT) -> bytes:
    """A reply as Consul packs it, under an ID of its own."""
    counts = b"\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0" + bytes((opt != b"",))
    return b"id\x85\x80" + counts + question + b"".join(records) + opt


def known(data: bytes, question: bytes = QUESTION) -> Known:
    return Known(read_reply(data, question), "A", 0, 60, data, BEGIN)


@pytest.mark.parametrize("question", [QUESTION, SIX])
@pytest.mark.parametrize("opt", [OPT, b""])
@pytest.mark.parametrize("count", [FEW + 1, 10, 300])
def test_addresses_are_known_in_any_order(count: int, opt: bytes, question: bytes) -> None:
    records = [record(number, qtype=question[-3]) for number in range(count)]
    one = known(reply(records, question, opt), question)
    assert one.size == len(records[0])
    for seed in range(20):
        random.Random(seed).shuffle(records)
        data = b"ID" + reply(records, question, opt)[2:]
        assert one.is_in(data)
        assert one.as_came(data).body == b"".join(records)
        assert read_reply(data, question).body == one.as_came(data).body


@given(st.data())
def test_whatever_else_is_changed_it_is_not_known(data: st.DataObject) -> None:
    """One octet changed, one more or one less: only the ID and whole records may differ."""
    count = data.draw(st.integers(FEW + 1, 12))
    numbers = data.draw(st.lists(st.integers(0, 999), min_size=count, max_size=count))
    opt = data.draw(st.sampled_from([OPT, b""]))
    records = [record(number) for number in numbers]
    one = known(reply(records, opt=opt))
    shuffled = reply(data.draw(st.permutations(records)), opt=opt)
    assert one.is_in(shuffled)
    at = data.draw(st.integers(2, len(shuffled) - 1))
    octet = data.draw(st.integers(1, 255))
    mutated = bytearray(shuffled)
    mutated[at] ^= octet
    changed = bytes(mutated)
    inserted = shuffled[:at] + bytes((octet,)) + shuffled[at:]
    for other in (changed, inserted, shuffled[:at], shuffled[:at] + shuffled[at + 1 :]):
        # The truth is what records there are, each as often as it is.
        alike = other[2:BEGIN] == shuffled[2:BEGIN] and other[BEGIN + 16 * count :] == opt
        there = [other[BEGIN + 16 * n : BEGIN + 16 * n + 16] for n in range(count)]
        assert one.is_in(other) is (alike and sorted(there) == sorted(records))
        assert not one.is_in(other)


@given(st.lists(st.integers(0, 5), min_size=FEW + 1, max_size=9), st.data())
def test_records_given_twice_are_counted(numbers: list[int], data: st.DataObject) -> None:
    """Of as many records, with the same ones among them, each must be there as often."""
    others = data.draw(
        st.lists(st.sampled_from(numbers), min_size=len(numbers), max_size=len(numbers))
    )
    one = known(reply([record(number) for number in numbers]))
    there = one.is_in(reply([record(number) for number in others]))
    assert there is (sorted(numbers) == sorted(others))


@given(st.binary(max_size=400))
def test_what_is_no_reply_is_not_known(data: bytes) -> None:
    one = known(reply([record(number) for number in range(8)]))
    assert not one.is_in(data)
    assert not one.is_in(reply([record(number) for number in range(8)])[:-5] + data[:5] + b"!")


STRANGE = {
    "few records": reply([record(number) for number in range(FEW)]),
    "no record": reply([]),
    "one of another type": reply([*map(record, range(4)), record(4, qtype=const.AAAA)]),
    "one of another name": reply([*map(record, range(4)), b"\x01x" + record(4)]),
    "an alias": reply([b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x0c", *map(record, range(4))]),
    "one spelled out": reply([*map(record, range(4)), QUESTION[:-4] + record(4)[2:]]),
}


@pytest.mark.parametrize("what", STRANGE)
def test_others_are_known_as_they_are_only(what: str) -> None:
    one = known(STRANGE[what])
    assert one.size == 0
    assert one.as_came(b"whatever came") is one.message
    pieces = one.pieces(query(), 512)
    assert pieces == (respond(query(), b"", one.message, 512), 0, 0, b"")


def test_what_limits_of_the_settings_change_is_not_passed_on_as_it_came() -> None:
    data = reply([record(number, ttl=7) for number in range(8)])
    message = read_reply(data, QUESTION)
    message.body = message.body_with_ttls(0, 30)
    assert Known(message, "A", 30, 60, data, BEGIN).size == 0


def test_an_address_somewhere_behind_is_not_in_the_answer() -> None:
    """Records of other sections are not to be taken for instances."""
    data = bytearray(reply([*map(record, range(6))], opt=b""))
    data[7], data[11] = 5, 1
    assert known(bytes(data)).size == 0


@pytest.mark.parametrize("limit", [512, 1232, 4096])
@pytest.mark.parametrize("count", [FEW + 1, 28, 29, 31, 100])
def test_what_is_passed_on_is_what_a_reply_that_is_read_makes(count: int, limit: int) -> None:
    records = [*map(record, range(count))]
    asked = query("WEB.service.Consul", edns=edns(limit)) if limit > 512 else query()
    first = known(reply(records))
    pieces = first.pieces(asked, limit)
    for seed in range(5):
        random.Random(seed).shuffle(records)
        data = reply(records)
        head, begin, end, tail = pieces
        made = head + data[begin:end] + tail
        assert made == respond(asked, b"", read_reply(data, QUESTION), limit)
        assert len(made) + 2 <= limit
        dns.message.from_wire(b"id" + made, ignore_trailing=False)


def test_all_orders_of_four() -> None:
    records = [*map(record, range(4))]
    one = known(reply(records))
    assert all(one.is_in(reply(list(order))) for order in permutations(records))
    assert not one.is_in(reply(records).replace(b"web", b"Web"))
