"""Names spelled by chance, and replies to them read as if they had not been."""

from __future__ import annotations

import os
import random

from consulfwd.dns.names import from_text
from consulfwd.dns.spelling import Letters, asks_for, folded

HEAD = b"\1\0\0\1\0\0\0\0\0\0"
CAPITALS, SMALL = b"\xff" * 255, b"\xdf" * 255


def tail(name: bytes) -> bytes:
    return HEAD + name + b"\0\0\1\0\1" + b"\0\0\x29\4\xd0\0\0\0\0\0\0"


def mixed(name: bytes, chance: bytes) -> bytes:
    return Letters(tail(name)).by(chance[: len(name)])


def test_the_name_in_a_query() -> None:
    name = from_text("www.example.test")[:-1]
    found = Letters(tail(name))
    assert (found.name, found.size) == (name, len(name))
    assert found.head + found.name + found.behind == tail(name)
    assert Letters(tail(b"")).name == Letters(tail(b"")).by(b"") == b""
    # An octet of 0 in a label: what is before it will do.
    assert Letters(tail(b"\3a\0b\4test")).name == b"\3a"


def test_letters_and_nothing_else_have_two_spellings() -> None:
    every = b"\x3f" + bytes(octet for octet in range(1, 256) if not 0x41 <= octet <= 0x5A)
    turned = mixed(every, CAPITALS)
    assert turned == every.upper()
    assert {a for a, b in zip(every, turned, strict=True) if a != b} == {*range(0x61, 0x7B)}
    assert mixed(every, SMALL) == every


def test_how_long_labels_are_stays() -> None:
    # 63 is the longest; as letters, lengths would be 65 and more.
    for size in range(1, 64):
        name = bytes((size,)) + b"a" * size
        assert mixed(name, CAPITALS)[0] == size


def test_each_letter_is_a_coin() -> None:
    name = from_text("galeradb.service.consul")[:-1]
    letters = sum(0x61 <= octet <= 0x7A for octet in name)
    chance = random.Random(1)
    seen = [mixed(name, chance.randbytes(len(name))) for _ in range(2000)]
    assert len(set(seen)) > 1990
    for at, octet in enumerate(name):
        capital = sum(one[at] != octet for one in seen)
        assert 850 < capital < 1150 if 0x61 <= octet <= 0x7A else capital == 0
    assert letters == 21


def test_a_reply_is_read_as_one_to_small_letters() -> None:
    name = from_text("www.example.test")[:-1]
    sent = mixed(name, CAPITALS)
    behind = b"\0\0\1\0\1" + sent + b"\0\0\1\0\1\0\0\0\1\0\4abcd" + b"\xc0\x0c"
    reply = b"id" + HEAD + sent + behind
    assert asks_for(reply, name)
    assert folded(reply, sent, name) == b"id" + HEAD + name + behind.replace(sent, name)
    for cut in (b"", reply[:13], reply[:20]):
        assert not asks_for(cut, name)
    # A letter is no other octet that differs in that bit.
    assert not asks_for(b"id" + HEAD + b"\3w@w", b"\3w`w")


def test_what_only_looks_like_a_short_name_stays() -> None:
    """2.68.101.5 holds the octets of `De`; so may a key or a signature."""
    name, sent = b"\2de", b"\2De"
    address = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\2\x44\x65\5"
    reply = b"id" + HEAD + sent + b"\0\0\1\0\1" + address
    assert folded(reply, sent, name) == b"id" + HEAD + name + b"\0\0\1\0\1" + address
    # A name of one letter gives no more than one bit: 10.1.88.0 holds all of it.
    assert not Letters(tail(b"\1x")).any
    assert Letters(tail(name)).any


def test_no_octets_are_too_much() -> None:
    for _ in range(500):
        data = os.urandom(random.randrange(300))
        asks_for(data, b"\3www")
        assert len(folded(data, b"\3WwW", b"\3www")) >= len(data[:12])
