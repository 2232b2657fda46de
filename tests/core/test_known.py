"""Replies seen before: known in any order of their records, and in no other way changed."""

from __future__ import annotations

import random
import struct
from itertools import islice, permutations

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.instances import Instances, instances
from consulfwd.core.known import FEW, Known
from consulfwd.dns import const
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.names import from_text
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
        assert pieces is not None
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


# -- instances, each with what belongs to it ------------------------------------------------------

SRV = QUESTION[:-4] + b"\0\x21\0\1"
# Port, target, and texts with their owner: metadata of a node, which need not be the target.
HOSTS = [
    (8000, "n1.node.dc1.consul", [], ""), (8001, "node-2.node.dc1.consul", [b"a=b"], ""),
    (8002, "x.node.dc1.consul", [b"a", b"b"], ""),
    (8003, "0a000004.addr.dc1.consul", [b"c", b"d"], "y.node.dc1.consul"),
    (9000, "n1.node.dc1.consul", [], ""), (8005, "node-2.node.dc2.consul", [b"a=b"], ""),
    (8006, "0a000007.addr.dc1.consul", [b"c", b"d"], "y.node.dc1.consul"),
]  # fmt: skip
Host = tuple[int, str, list[bytes], str]


class Packer:
    """Packs names as Consul does: what was there before, as a whole or its end, is pointed to."""

    def __init__(self, question: bytes) -> None:
        self.data = b""
        self._places: dict[bytes, int] = {}
        self.name(question, compress=False)
        self.data = b""

    def name(self, name: bytes, *, compress: bool = True) -> None:
        begin, at = len(self.data), 0
        while name[at]:
            place = self._places.get(name[at:])
            if place is not None and compress:
                self.data += name[:at] + (0xC000 | place).to_bytes(2, "big")
                return
            if place is None:
                # The question stands before all that is packed.
                shift = BEGIN if self.data else 12
                self._places[name[at:]] = shift + begin + at
            at += 1 + name[at]
        self.data += name


def given_by_consul(hosts: list[Host], *, bare: bool = False, ttl: int = 0) -> bytes:
    """The reply as Consul packs it: addresses and texts in the order of the SRV records."""
    made, count = Packer(SRV[:-4]), 0
    age = struct.pack("!I", ttl)
    for port, target, _, _ in hosts:
        name = from_text(target)
        made.data += b"\xc0\x0c\0\x21\0\1" + age
        made.data += struct.pack("!HHHH", 6 + len(name), 1, 1, port)
        made.name(name, compress=False)
    for port, target, texts, owner in [] if bare else hosts:
        made.name(from_text(target))
        made.data += b"\0\1\0\1" + age + b"\0\4\x0a\0" + struct.pack("!H", port)
        for text in texts:
            made.name(from_text(owner or target))
            made.data += b"\0\x10\0\1\0\0\0\0"
            made.data += struct.pack("!HB", 1 + len(text), len(text)) + text
        count += 1 + len(texts)
    counts = struct.pack("!HHHH", 1, len(hosts), 0, count + 1)
    return b"id\x85\x80" + counts + SRV + made.data + OPT


def by_instances(data: bytes) -> Instances | None:
    message = read_reply(data, SRV)
    return instances(Known(message, "A", 0, 60, data, BEGIN), data, SRV)


def told(message: Message) -> list[list[bytes]]:
    return [sorted(section) for section in message.sections(SRV)]


@pytest.mark.parametrize("bare", [False, True])
def test_instances_are_known_in_any_order(bare: bool) -> None:
    hosts = list(HOSTS)
    one = by_instances(given_by_consul(hosts, bare=bare))
    assert one is not None
    asked = query("WEB.service.Consul", const.SRV, edns=edns(4096))
    for order in islice(permutations(hosts), 0, 5040, 50):
        data = b"ID" + given_by_consul(list(order), bare=bare)[2:]
        assert one.is_in(data)
        came = one.as_came(data)
        assert told(came) == told(one.message)
        pieces = one.pieces(asked, 4096)
        assert pieces is not None
        head, begin, end, tail = pieces
        made = head + data[begin:end] + tail
        assert made == respond(asked, b"", came, 4096)
        if order[0] is hosts[3]:
            dns.message.from_wire(b"id" + made, ignore_trailing=False)
    # Each is cut where its own records end.
    assert one.pieces(asked, 250) is None


@given(st.permutations(HOSTS), st.data())
def test_whatever_else_is_changed_no_instance_is_known(
    hosts: list[Host], data: st.DataObject
) -> None:
    one = by_instances(given_by_consul(HOSTS))
    assert one is not None
    shuffled = given_by_consul(hosts)
    assert one.is_in(shuffled)
    at = data.draw(st.integers(2, len(shuffled) - 1))
    octet = data.draw(st.integers(1, 255))
    mutated = bytearray(shuffled)
    mutated[at] ^= octet
    inserted = shuffled[:at] + bytes((octet,)) + shuffled[at:]
    for other in (bytes(mutated), inserted, shuffled[:at], shuffled[:at] + shuffled[at + 1 :]):
        assert not one.is_in(other)
    twice = bytearray(shuffled)
    two = data.draw(st.integers(BEGIN, len(shuffled) - 2)), at
    for place, value in zip(two, data.draw(st.binary(min_size=2, max_size=2)), strict=True):
        twice[place] = value
    # What is known says the same as what it is known as.
    if one.is_in(bytes(twice)):
        assert told(read_reply(bytes(twice), SRV)) == told(one.message)


def test_what_belongs_to_another_is_not_known() -> None:
    """As many octets, and the same records: but the addresses of two have changed places."""
    one = by_instances(given_by_consul(HOSTS))
    assert one is not None
    data = given_by_consul(HOSTS)
    swapped = data.replace(b"\x0a\0\x1f\x40", b"????").replace(b"\x0a\0\x1f\x41", b"\x0a\0\x1f\x40")
    swapped = swapped.replace(b"????", b"\x0a\0\x1f\x41")
    assert len(swapped) == len(data)
    assert swapped != data
    assert not one.is_in(swapped)
    # An instance twice and another not at all.
    assert not one.is_in(given_by_consul([HOSTS[0], HOSTS[0], *HOSTS[2:]]))
    assert not one.is_in(given_by_consul(HOSTS, ttl=1))


FEW_HOSTS = HOSTS[:FEW]


@pytest.mark.parametrize(
    "data",
    [
        given_by_consul(FEW_HOSTS),
        # One with no address, and one whose text has another owner.
        given_by_consul(HOSTS).replace(
            b"\0\1\0\1\0\0\0\0\0\4\x0a\0\x1f\x42", b"\0\x10\0\1\0\0\0\0\0\4\3abc"
        ),
        given_by_consul(HOSTS)[:-25] + b"\xc0\x0c" + given_by_consul(HOSTS)[-23:],
    ],
)  # fmt: skip
def test_others_are_not_known_by_instances(data: bytes) -> None:
    read_reply(data, SRV)
    assert by_instances(data) is None


def test_targets_beyond_the_reach_of_pointers() -> None:
    names = [f"node-{number}.node.dc1.consul" for number in range(400)]
    hosts: list[Host] = [(number, name, [], "") for number, name in enumerate(names)]
    assert by_instances(given_by_consul(hosts[:200])) is not None
    assert by_instances(given_by_consul(hosts, bare=True)) is None
