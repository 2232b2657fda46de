"""Orders of an answer's records: the same records each time, and each first as often as others."""

from __future__ import annotations

import random
import struct
from collections import Counter
from itertools import islice

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import const
from consulfwd.dns.edns import Edns
from consulfwd.dns.message import Message, assemble_message, read_reply
from consulfwd.dns.movable import Movable
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record
from consulfwd.dns.replies import STREAM_LIMIT, respond
from consulfwd.dns.turns import in_turn, plan_of, rotations, turns
from consulfwd.dns.wire import Query
from consulfwd.errors import WireError
from tests.dns.packets import packet

WEB = from_text("web.service.consul")
ROW = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
Sections = tuple[list[bytes], list[bytes], list[bytes]]


def query(qtype: int, size: int = STREAM_LIMIT, name: bytes = WEB) -> Query:
    question = name + struct.pack("!HH", qtype, const.IN)
    return Query(const.RD, question, name, qtype, const.IN, Edns(size, 0, False, 0, b""))


def instances(count: int, prefix: str = "node", ttl: int = 60, *, texts: bool = False) -> Message:
    """So many SRV records as Consul gives them: targets of many lengths, with their addresses."""
    targets = [from_text(f"{prefix}-{number}.node.dc1.consul") for number in range(count)]
    answers = [
        build_record(WEB, const.SRV, ttl, struct.pack("!HHH", 1, 1, 8000 + number) + target)
        for number, target in enumerate(targets)
    ]
    more = []
    for number, target in enumerate(targets):
        more.append(build_record(target, const.A, ttl, struct.pack("!I", 0x0A000000 + number)))
        if texts:
            more.append(build_record(target, const.TXT, 0, b"\3a=b"))
    return assemble_message(query(const.SRV).question, (answers, [], more), flags=0)


def read(reply: bytes, asked: Query) -> Sections:
    """The records of a reply made here without ID, its names spelled out."""
    return read_reply(b"id" + reply, asked.question).sections(asked.question)


# -- whose turn it is -------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(0, 2**32), st.integers(1, 4))
def test_in_each_run_each_is_first_once(count: int, seed: int, runs: int) -> None:
    found = turns(count, random.Random(seed))
    for _ in range(runs):
        run = [*islice(found, count)]
        assert sorted(first for first, _ in run) == [*range(count)]
        assert all(0 <= turn < max(count - 1, 1) for _, turn in run)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 12])
def test_what_a_dead_instance_had_goes_to_all_others(count: int) -> None:
    """Clients take the second then, and if that is dead, too, the third."""
    body = b"".join(ROW + bytes((10, 0, 0, last)) for last in range(count))
    seconds: Counter[int] = Counter()
    thirds: Counter[tuple[int, int]] = Counter()
    for order in islice(rotations(body, 16, random.Random(5)), 400 * count * (count - 1)):
        if order[15] == 1:
            seconds[order[31]] += 1
        if count > 3:
            thirds[order[15], order[31]] += 1
    assert len(seconds) == count - 1
    assert max(seconds.values()) < 1.25 * min(seconds.values())
    assert len(thirds) in (0, count * (count - 1))


@pytest.mark.parametrize(("count", "most"), [(40, 1), (40, 4), (40, 16), (6, 3)])
def test_begun_anew_each_time_each_has_the_same_chance(count: int, most: int) -> None:
    rng = random.Random(7)
    firsts: Counter[int] = Counter()
    for _ in range(40 * count // most):
        some = [first for first, _ in islice(turns(count, rng), most)]
        assert len({*some}) == most
        firsts.update(some)
    assert len(firsts) == count
    # 40 expected of each; the seed is fixed.
    assert 15 < min(firsts.values()) <= max(firsts.values()) < 75


@given(st.integers(1, 60), st.integers(0, 2**32), st.data())
def test_rotations_have_each_record_once(count: int, seed: int, data: st.DataObject) -> None:
    rows = [ROW + struct.pack("!I", number) for number in range(count)]
    shown = data.draw(st.integers(0, count))
    for order in islice(rotations(b"".join(rows), 16, random.Random(seed), shown), 2 * count):
        found = [order[at : at + 16] for at in range(0, len(order), 16)]
        assert len({*found}) == len(found) == (shown or count)
        assert {*found} <= {*rows}


# -- records that pointers lead into ----------------------------------------------------------


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("count", [2, 3, 11, 200])
def test_instances_with_their_addresses(count: int, texts: bool) -> None:
    message, asked = instances(count, texts=texts), query(const.SRV)
    assert isinstance(plan_of(message, asked.question), Movable)
    right = message.sections(asked.question)
    firsts = []
    made = in_turn(asked, message, STREAM_LIMIT, message.body, random.Random(1))
    for reply in islice(made, min(count, 30)):
        assert len(reply) == len(respond(asked, b"", message, STREAM_LIMIT))
        answers, _, more = read(reply, asked)
        assert (sorted(answers), more) == (sorted(right[0]), right[2])
        firsts.append(answers[0])
        if count < 20:
            dns.message.from_wire(b"id" + reply, ignore_trailing=False)
    assert len({*firsts}) == min(count, 30)


@pytest.mark.parametrize(("count", "ttl"), [(600, 60), (800, 0)])
def test_targets_that_pointers_do_not_reach(count: int, ttl: int) -> None:
    """Pointers reach 16 KB: which targets lie within does not change, those behind may be first."""
    message, asked = instances(count, ttl=ttl), query(const.SRV)
    right = sorted(message.sections(asked.question)[0])
    body = message.body_with_ttls(13)
    firsts = set()
    for reply in islice(in_turn(asked, message, STREAM_LIMIT, body, random.Random(1)), 8):
        assert len(reply) < STREAM_LIMIT
        found = read_reply(b"id" + reply, asked.question)
        assert found.ttl == max(ttl - 13, 0)
        answers, _, more = found.sections(asked.question)
        assert len(more) == count
        bare = [one.replace(struct.pack("!I", found.ttl), b"") for one in answers]
        assert sorted(bare) == sorted(one.replace(struct.pack("!I", ttl), b"") for one in right)
        firsts.add(answers[0])
    assert len(firsts) == 8


def test_ttls_of_many_kinds_go_with_their_records() -> None:
    asked = query(const.SRV)
    for count in (3, 700):
        sections = instances(count).sections(asked.question)
        nodes = [from_text(f"node-{number}.node.dc1.consul") for number in range(count)]
        more = [build_record(node, const.A, ttl, bytes(4)) for ttl, node in enumerate(nodes)]
        message = assemble_message(asked.question, (sections[0], [], more), flags=0)
        for reply in islice(
            in_turn(asked, message, STREAM_LIMIT, message.body_with_ttls(1), random.Random(1)), 3
        ):
            found = read_reply(b"id" + reply, asked.question)
            ttls = [int.from_bytes(found.body[at : at + 4], "big") for at in found.ttls]
            assert ttls == [59] * count + [max(number - 1, 0) for number in range(count)]


@pytest.mark.parametrize("limit", [512, 700, 1232])
@pytest.mark.parametrize("count", [5, 9, 20, 60])
def test_cut_where_records_end(count: int, limit: int) -> None:
    message, asked = instances(count), query(const.SRV, limit)
    right = [sorted(one) for one in message.sections(asked.question)]
    firsts = set()
    for reply in islice(in_turn(asked, message, limit, message.body, random.Random(1)), count):
        assert len(reply) + 2 <= limit
        found = read_reply(b"id" + reply, asked.question)
        answers, _, more = found.sections(asked.question)
        assert {*answers} <= {*right[0]}
        assert {*more} <= {*right[2]}
        assert found.truncated is (len(answers) < count)
        firsts.add(answers[0])
    assert len(firsts) == count


OTHERS = {
    "servers": (
        ".", "NS", ["an . 60 IN NS a.root-servers.net.", "an . 60 IN NS b.root-servers.net."],
    ),
    "mail": (
        "web.consul", "MX",
        ["an web.consul. 9 IN MX 1 a.mail.web.consul.",
         "an web.consul. 9 IN MX 1 b.mail.web.consul.",
         "ad a.mail.web.consul. 9 IN A 10.0.0.1", "ad b.mail.web.consul. 8 IN AAAA fd00::1"],
    ),
    "naptr": (
        "web.consul", "NAPTR",
        ['an web.consul. 9 IN NAPTR 1 2 "u" "s" "" n1.web.consul.',
         'an web.consul. 9 IN NAPTR 1 2 "u" "s" "!^.*$!x!" n2.web.consul.'],
    ),
    "texts": (
        "web.consul", "TXT", ['an web.consul. 9 IN TXT "a" "b c"', 'an web.consul. 9 IN TXT "d"'],
    ),
    "addresses with more": (
        "web.consul", "A",
        ["an web.consul. 9 IN A 10.0.0.1", "an web.consul. 9 IN A 10.0.0.2",
         'ad web.consul. 9 IN TXT "a=b"'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_is_an_rrset_takes_turns(what: str) -> None:
    """Names are compressed in them as dnspython does it."""
    name, kind, lines = OTHERS[what]
    data = packet(f"{name} {kind}", *lines)
    wire_name = from_text(name)
    question = data[12 : 12 + len(wire_name) + 4]
    message = read_reply(data, question)
    asked = Query(const.RD, question, wire_name, int.from_bytes(question[-4:-2], "big"), 1,
                  Edns(4096, 0, False, 0, b""))  # fmt: skip
    right = message.sections(question)
    firsts = set()
    for reply in islice(in_turn(asked, message, 4096, message.body, random.Random(1)), 2):
        found = read(reply, asked)
        assert [sorted(one) for one in found] == [sorted(one) for one in right]
        firsts.add(found[0][0])
    assert len(firsts) == 2


def test_an_alias_is_no_rrset() -> None:
    alias = build_record(WEB, const.CNAME, 0, from_text("www.example"))
    address = build_record(from_text("www.example"), const.A, 0, bytes(4))
    asked = query(const.A)
    message = assemble_message(asked.question, ([alias, address, address], [], []), flags=0)
    assert plan_of(message, asked.question) == 0
    first, second = islice(in_turn(asked, message, 512, message.body, random.Random(1)), 2)
    assert first is second


# Octets that may be a pointer, a length or the type of a record wherever they are put.
ODD = [0, 1, 2, 5, 12, 16, 33, 41, 63, 0xC0, 0xC1, 0xFF]


@given(st.data())
def test_of_hostile_replies_the_records_stay_the_same(data: st.DataObject) -> None:
    """Whatever is taken for a reply: another order has the same records, names included."""
    count = data.draw(st.integers(2, 5))
    asked = query(const.SRV)
    good = instances(count, "n", texts=data.draw(st.booleans()))
    bad = bytearray(respond(asked, b"id", good, STREAM_LIMIT))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(12 + len(asked.question), len(bad) - 1))
        bad[at] = data.draw(st.sampled_from([*ODD, at & 0xFF, (at - 7) & 0xFF]))
        if data.draw(st.booleans()):
            place = data.draw(st.integers(12, len(bad) - 1))
            bad[at - 1 : at + 1] = (0xC000 | place).to_bytes(2, "big")
    try:
        message = read_reply(bytes(bad), asked.question)
        right = message.sections(asked.question)
    except WireError:
        return
    for reply in islice(in_turn(asked, message, STREAM_LIMIT, message.body, random.Random(1)), 5):
        found = read(reply, asked)
        assert [sorted(map(folded, one)) for one in found] == [
            sorted(map(folded, one)) for one in right
        ]


def folded(record: bytes) -> bytes:
    return record.lower()


@given(st.integers(2, 8), st.integers(0, 2**32), st.booleans())
def test_every_order_of_hosts_that_share_nodes(count: int, seed: int, texts: bool) -> None:
    """Two instances on one node have one target: both addresses point to where it is first."""
    rng = random.Random(seed)
    asked = query(const.SRV)
    targets = [from_text(f"n{rng.randrange(3)}.node.consul") for _ in range(count)]
    answers = [
        build_record(WEB, const.SRV, 0, struct.pack("!HHH", 1, 1, n) + t)
        for n, t in enumerate(targets)
    ]
    more = [build_record(target, const.A, 0, bytes(4)) for target in targets]
    message = assemble_message(asked.question, (answers, [], more), flags=0)
    right = message.sections(asked.question)
    for reply in islice(in_turn(asked, message, 4096, message.body, rng), count):
        found = read(reply, asked)
        assert (sorted(found[0]), found[2]) == (sorted(right[0]), right[2])


def test_the_second_steps_differ_from_round_to_round() -> None:
    rng = random.Random(1)
    orders = [[*islice(turns(7, rng), 7)] for _ in range(20)]
    steps = {(one[1][0] - one[0][0]) % 7 for one in orders}
    assert len(steps) > 3


def pointer(place: int) -> bytes:
    return (0xC000 | place).to_bytes(2, "big")


def crafted(*more: tuple[int, bytes], target: bytes = b"\x05ab\x09xy\0") -> Message:
    """Three SRV records, the second one's target crafted, and additional (type, record) behind."""
    asked = query(const.SRV).question
    targets = [from_text("a.node"), target, from_text("ccc.node")]
    rows = b"".join(
        b"\xc0\x0c\0\x21\0\1\0\0\0\0" + struct.pack("!HHHH", 6 + len(one), 1, 1, 1) + one
        for one in targets
    )
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 3, 0, len(more))
    return read_reply(head + asked + rows + b"".join(one for _, one in more), asked)


BEGIN = 12 + len(query(const.SRV).question)
SECOND = BEGIN + 18 + len(from_text("a.node"))
ADDRESS = b"\0\1\0\1\0\0\0\0\0\4\x0a\0\0\1"
TEXT_AT = SECOND + 18 + len(b"\1b\0") + 18 + len(from_text("ccc.node")) + 12
CRAFTED = {
    # From within a label on, through the record behind, whichever that is.
    "through the next record": crafted((1, pointer(SECOND + 21) + ADDRESS)),
    # From the port on.
    "from within the data": crafted((1, pointer(SECOND + 17) + ADDRESS), target=b"\2\1b\0"),
    # To a text with a pointer in it, which nobody takes for one, to a name in the answers.
    "by way of a text": crafted(
        (16, pointer(12) + b"\0\x10\0\1\0\0\0\0\0\3\2" + pointer(SECOND + 18)),
        (1, pointer(TEXT_AT + 1) + ADDRESS),
        target=b"\1b\0",
    ),
    # The type that was asked for, taken for the length of a label, and on through what is behind.
    "through the end of the question": crafted(target=b"\3abc" + pointer(BEGIN - 3)),
}  # fmt: skip


@pytest.mark.parametrize("what", CRAFTED)
def test_a_name_stays_what_it_is_whatever_it_leads_through(what: str) -> None:
    asked, message = query(const.SRV), CRAFTED[what]
    right = [sorted(one) for one in message.sections(asked.question)]
    firsts = set()
    for reply in islice(in_turn(asked, message, 4096, message.body, random.Random(1)), 30):
        found = read(reply, asked)
        assert [sorted(one) for one in found] == right
        firsts.add(found[0][0])
    assert len(firsts) == 3
