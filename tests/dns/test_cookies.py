"""Cookies in messages: taken out of queries, put into replies; and what they are made by."""

from __future__ import annotations

import random
from contextlib import suppress

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest

from consulfwd.dns import const, replies
from consulfwd.dns.cookies import OPTION_SIZE, put_cookie, take_cookie
from consulfwd.dns.edns import build_ede
from consulfwd.dns.message import read_reply
from consulfwd.dns.siphash import siphash24
from consulfwd.dns.wire import read_query
from consulfwd.errors import WireError
from tests.net.messages import question

CLIENT, SERVER = b"\1" * 8, b"\2" * 16
ECS = dns.edns.ECSOption("192.0.2.0", 24)


def cookie(data: bytes) -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.COOKIE, data)


def test_siphash_is_the_one_of_its_authors() -> None:
    key = bytes(range(16))
    assert siphash24(key, b"").hex() == "310e0edd47db6f72"
    assert siphash24(key, bytes(range(8))).hex() == "6224939a79f5f593"
    assert siphash24(key, bytes(range(15))).hex() == "e545be4961ca29a1"
    assert siphash24(key, bytes(range(63))).hex() == "724506eb4c328a95"


def test_a_cookie_is_taken_out_and_nothing_else() -> None:
    data = question("x.example", edns=1232, options=[ECS, cookie(CLIENT + SERVER)], ident=7)
    taken = take_cookie(data, 1232)
    assert taken is not None
    assert (taken.cookie, taken.size, taken.asks) == (CLIENT + SERVER, 1232, True)
    same = question("x.example", edns=1232 - OPTION_SIZE, options=[ECS], ident=7)
    assert taken.query == same
    assert read_query(taken.query).edns is not None


@pytest.mark.parametrize(
    ("announced", "most", "room", "left"),
    [(1232, 1232, 1232, 1204), (4096, 1232, 1232, 1204), (512, 1232, 512, 512),
     (0, 1232, 512, 512), (539, 1232, 539, 512), (540, 1232, 540, 512), (541, 1232, 541, 513),
     (65535, 65507, 65507, 65479)],
)  # fmt: skip
def test_room_is_left_for_the_cookie(announced: int, most: int, room: int, left: int) -> None:
    taken = take_cookie(question("x.example", edns=announced, options=[cookie(CLIENT)]), most)
    assert taken is not None
    edns = read_query(taken.query).edns
    assert edns is not None
    assert (taken.size, edns.size) == (room, left)


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15, 41, 60])
def test_lengths_that_no_cookie_has_are_refused(size: int) -> None:
    with pytest.raises(WireError) as caught:
        take_cookie(question("x.example", options=[cookie(bytes(size))]), 1232)
    assert caught.value.rcode == const.FORMERR


@pytest.mark.parametrize("size", [8, 16, 24, 40])
def test_lengths_that_cookies_have_are_taken(size: int) -> None:
    taken = take_cookie(question("x.example", options=[cookie(bytes(size))]), 1232)
    assert taken is not None
    assert len(taken.cookie) == size


def test_of_several_the_first_counts_and_all_are_taken_out() -> None:
    data = question("x.example", options=[cookie(CLIENT), ECS, cookie(b"\3" * 8)], ident=7)
    taken = take_cookie(data, 1232)
    assert taken is not None
    assert taken.cookie == CLIENT
    assert taken.query == question("x.example", edns=1204, options=[ECS], ident=7)


def test_what_has_none_is_left_alone() -> None:
    for data in (
        question("x.example"),
        question("x.example", edns=None),
        question("x.example", options=[ECS]),
        question("x.example", version=1, options=[cookie(CLIENT)]),
        b"",
        b"\0\x0a\0\x08",
    ):
        assert take_cookie(data, 1232) is None


def test_any_octets_are_taken_or_left() -> None:
    rng = random.Random(1)
    data = question("x.example", options=[ECS, cookie(CLIENT + SERVER)])
    for _ in range(2000):
        broken = bytearray(data[: rng.randrange(len(data) + 1)])
        for _ in range(rng.randrange(4) if broken else 0):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        taken = None
        with suppress(WireError):
            taken = take_cookie(bytes(broken), 1232)
        if taken is not None:
            assert len(taken.query) < len(broken)


def reply_of(texts: int, ede: tuple[int, str] | None = None) -> bytes:
    query = read_query(question("x.example", "TXT", edns=4096))
    reply = dns.message.make_response(dns.message.make_query("x.example", "TXT"))
    for number in range(texts):
        text = f'"{number:0200}"'
        reply.answer.append(dns.rrset.from_text("x.example.", 60, "IN", "TXT", text))
    message = read_reply(reply.to_wire(), query.question)
    options = build_ede(*ede) if ede else b""
    return replies.respond(query, b"\0\7", message, 4096, options=options)


def test_a_reply_gets_it_beside_other_options() -> None:
    # The text looks like an OPT to whoever looks for the last one carelessly.
    for ede in (None, (0, ")"), (3, "stale)" * 20)):
        whole = put_cookie(reply_of(2, ede), CLIENT + SERVER, 1232)
        read = dns.message.from_wire(whole)
        assert [one.to_wire() for one in read.options if one.otype == 10] == [CLIENT + SERVER]
        assert len(read.options) == (2 if ede else 1)
        assert sum(map(len, read.answer)) == 2


def test_what_has_no_room_for_it_is_to_be_asked_for_over_tcp() -> None:
    reply = reply_of(5)
    assert put_cookie(reply, CLIENT + SERVER, len(reply) + OPTION_SIZE).endswith(SERVER)
    cut = put_cookie(reply, CLIENT + SERVER, len(reply) + OPTION_SIZE - 1)
    read = dns.message.from_wire(cut)
    assert read.flags & dns.flags.TC
    assert not read.answer
    assert [one.otype for one in read.options] == [10]


def test_a_reply_without_edns_stays_as_it_is() -> None:
    data = question("x.example", edns=None)
    reply = replies.refuse(data, const.REFUSED)
    assert put_cookie(reply, CLIENT + SERVER, 1232) == reply
