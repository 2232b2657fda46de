"""What queries for a name that moves get, as transcripts: asked, answered."""

from __future__ import annotations

import dataclasses
import random
from ipaddress import ip_address

import dns.message
import pytest

from consulfwd.core.ask import prepare
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.dns import const, replies
from consulfwd.dns.names import ROOT, from_text
from consulfwd.failover import answering
from consulfwd.failover.model import Address, AddressState, Given, Outcome, RecordState, Result
from tests.core.play import query

NAME = "www.example.com"
NOW = 1_000_000.0
FIRST = Address(ip_address("192.0.2.1"), 0)
SIX = Address(ip_address("2001:db8::1"), 1)
OTHER = Address(ip_address("192.0.2.2"), 1)
FINE = AddressState(FIRST, True, NOW - 720, Outcome(Result.OK, "200 OK", 0.01), NOW - 3, 0, 3)
ILL = AddressState(
    OTHER, False, NOW - 60, Outcome(Result.FAIL, "404 \x00 Gone", 0.01), NOW - 1, 1, 2, "down",
    "the order of anna", ("site-b: up",),
)  # fmt: skip


class Book:
    """Says what a test wants said."""

    def __init__(self, given: Given | None, *addresses: AddressState) -> None:
        self.given = given
        self.addresses = addresses

    def answer(self, name: str, qtype: int, rng: random.Random) -> Given | None:
        assert name == NAME
        return self.given

    def view(self, name: str) -> RecordState:
        pools = "primary", "secondary"
        why = "the first pool is well"
        return RecordState(name, self.given, NOW - 720, pools, self.addresses, why, held="cut off")


def ask(book: Book, qtype: int, name: str = NAME) -> tuple[dns.message.Message, str]:
    """Return the reply over TCP, and the text of an extended error."""
    made = answering.routes_of(NAME, book, lambda: NOW, random.Random(1))
    routes = Routes([Route(ROOT, Kind.RECURSE)], alone=made)
    one = prepare(query(name, qtype), routes)
    assert one.moves is not None
    message, ede = one.moves.answer(one.question)
    reply = replies.respond(one.query, b"\0\0", message, replies.STREAM_LIMIT)
    return dns.message.from_wire(reply), ede[1] if ede else ""


def said(reply: dns.message.Message) -> list[str]:
    """Return an answer's records as lines, and those of the Authority section behind !."""
    marked = [("", one) for one in reply.answer] + [("!", one) for one in reply.authority]
    return [f"{mark}{line}" for mark, one in marked for line in one.to_text().split("\n")]


SOA = "!www.example.com. {} IN SOA www.example.com. nobody.invalid. 1 3600 1200 604800 60"


@pytest.mark.parametrize(
    ("given", "qtype", "lines"),
    [
        ((FIRST, OTHER), const.A, [f"{NAME}. 7 IN A 192.0.2.1", f"{NAME}. 7 IN A 192.0.2.2"]),
        ((FIRST, FIRST._replace(pool=1)), const.A, [f"{NAME}. 7 IN A 192.0.2.1"]),
        ((FIRST, SIX), const.AAAA, [f"{NAME}. 7 IN AAAA 2001:db8::1"]),
        ((FIRST,), const.AAAA, [SOA.format(7)]),
        ((), const.A, [SOA.format(7)]),
        ((FIRST,), const.MX, [SOA.format(60)]),
        ((FIRST,), const.SOA, [SOA.format(60)]),
        ((FIRST,), const.DS, [SOA.format(60)]),
    ],
)
def test_answers(given: tuple[Address, ...], qtype: int, lines: list[str]) -> None:
    reply, ede = ask(Book(Given(given, 7, 0, "")), qtype)
    assert (reply.rcode(), said(reply), ede) == (0, lines, "")


def test_nobody_guesses_before_the_first_round() -> None:
    reply, ede = ask(Book(None), const.A)
    assert (reply.rcode(), said(reply)) == (const.SERVFAIL, [])
    assert "not enough is known" in ede
    # What has no addresses has none then, either.
    assert ask(Book(None), const.MX)[0].rcode() == const.NOERROR


def test_the_state_is_text() -> None:
    book = Book(Given((FIRST,), 7, 0, ""), FINE, ILL)
    reply, _ = ask(book, const.TXT, f"_failover.{NAME}")
    (rrset,) = reply.answer
    assert rrset.ttl == 0
    assert [b"".join(one.strings).decode() for one in rrset] == [
        "primary, 192.0.2.1 for 12 min: the first pool is well",
        "states are held: cut off",
        "192.0.2.1 (primary): up for 12 min, checked 3.0 s ago: ok, 200 OK",
        "192.0.2.2 (secondary): down for 1 min, forced down, checked 1.0 s ago: fail,"
        " 404 \\x00 Gone; others: site-b: up; the order of anna",
    ]
    (soa,) = said(ask(book, const.A, f"_failover.{NAME}")[0])
    assert soa == SOA.format(60)


def test_who_asks_again_and_again_costs_no_new_text() -> None:
    book, wall = Book(Given((FIRST,), 7, 0, ""), FINE), [NOW]
    _, other = answering.routes_of(NAME, book, lambda: wall[0], random.Random(1))
    assert other.moves is not None
    question = from_text(f"_failover.{NAME}") + b"\0\x10\0\1"

    def texts() -> bytes:
        assert other.moves is not None
        return other.moves.answer(question)[0].body

    first = texts()
    book.addresses = (ILL,)
    wall[0] += answering.KEPT / 2
    assert texts() == first
    # The time of day was set back: how old it is nobody knows.
    for moment in (NOW + answering.KEPT, NOW - 60):
        wall[0] = moment
        assert texts() != first
        first, book.addresses = texts(), (FINE,)


def test_texts_go_into_a_message() -> None:
    last = Outcome(Result.OK, "x" * 200, 0.0)
    long = AddressState(FIRST, True, NOW, last, NOW, 0, 3, why="y" * 900)
    many = [
        dataclasses.replace(long, address=Address(ip_address(f"10.0.{at}.1"), 0))
        for at in range(200)
    ]
    reply, _ = ask(Book(Given((FIRST,), 7, 0, ""), *many), const.TXT, f"_failover.{NAME}")
    assert 20 < len(reply.answer[0]) < 200
    assert len(reply.to_wire()) < 60_000


def test_a_name_too_long_for_a_state_has_none() -> None:
    long = ".".join(["a" * 63] * 3 + ["b" * 55])
    made = answering.routes_of(long, Book(None), lambda: NOW, random.Random(1))
    assert [one.zone for one in made] == [from_text(long)]


def test_any_is_minimal() -> None:
    made = answering.routes_of(NAME, Book(None), lambda: NOW, random.Random(1))
    one = prepare(query(NAME, const.ANY), Routes([Route(ROOT, Kind.RECURSE)], alone=made))
    assert one.moves is None
    assert one.local is not None
    assert one.local.rcode == const.NOERROR
    assert one.local.answers == 1
