"""Ten thousand spoiled datagrams of each kind: only WireError gets out, and nothing is made up."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TypeVar

import dns.exception
import dns.message

from consulfwd.dns import const
from consulfwd.dns.edns import Edns
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import alias_chain, read_records
from consulfwd.dns.replies import STREAM_LIMIT, refuse, respond
from consulfwd.dns.text import to_record
from consulfwd.dns.turns import in_turn
from consulfwd.dns.wire import Query, check_name, read_name, read_query
from consulfwd.errors import WireError
from tests.dns.packets import ID, counts, question, wire
from tests.fuzz.corpus import QUERIES, REPLIES, spoiled

COUNT = 10_000
Result = TypeVar("Result")


def outcome(read: Callable[[], Result]) -> Result | WireError:
    """What was read, or the one error that may come of it."""
    try:
        return read()
    except WireError as error:
        return error


def refused(datagram: bytes) -> bool:
    """Whether a datagram is no query; what is answered to it then is checked."""
    query = outcome(lambda: read_query(datagram))
    if isinstance(query, Query):
        assert query.question == datagram[12 : 12 + len(query.question)]
        return False
    if len(datagram) < 12 or datagram[2] & 0x80:
        assert query.rcode is None
        return True
    assert query.rcode in (const.FORMERR, const.NOTIMP)
    reply = refuse(datagram, query.rcode)
    assert reply[:2] == datagram[:2]
    assert reply[2] & 0xF8 == 0x80 | datagram[2] & 0x78
    # dnspython reads an update's question by other rules: shown to it as a query's
    assert dns.message.from_wire(wire(reply[:2], "80", reply[3:])).rcode() == query.rcode
    return True


def test_spoiled_queries() -> None:
    rng = random.Random(1035)
    found = sum(refused(spoiled(rng, QUERIES)) for _ in range(COUNT))
    # Both ways are walked often: neither is what all of them take.
    assert COUNT / 2 < found < COUNT * 19 / 20


def test_good_queries_are_none_of_the_refused() -> None:
    assert [refused(query) for query in QUERIES] == [False] * len(QUERIES)


def parsed(data: bytes) -> list[str] | None:
    """Every record dnspython finds, or None when it takes exception to the message."""
    try:
        message = dns.message.from_wire(data, one_rr_per_rrset=True)
        return [rrset.to_text() for section in message.sections[1:] for rrset in section]
    except (dns.exception.DNSException, ValueError):
        return None


def relayed(datagram: bytes, asked: str) -> bool:
    """Whether a datagram is taken for a reply; what a client gets of it then is checked."""
    message = outcome(lambda: read_reply(datagram, question(asked)))
    if isinstance(message, WireError):
        return False
    query = Query(const.RD, question(asked), question(asked)[:-4], 1, 1, Edns(0, 0, False, 0, b""))
    reply = respond(query, ID, message, STREAM_LIMIT)
    if not message.size > 12:
        assert (message.rcode, counts(reply)) == (datagram[3] & 15, (1, 0, 0, 1))
        return True
    had_opt = message.edns is not None
    one, answers, authorities, additionals = counts(datagram)
    assert counts(reply) == (one, answers, authorities, additionals - had_opt + 1)
    before, after = parsed(datagram), parsed(reply)
    if before is not None:
        assert after is not None
        assert [line.lower() for line in after] == [line.lower() for line in before]
    taken_apart(message, reply, query)
    return True


def taken_apart(message: Message, reply: bytes, query: Query) -> None:
    """What else is done to a reply once it has been taken must not raise."""
    sections = read_records(reply, 12 + len(query.question))
    assert sum(map(len, sections)) == len(message.ends)
    for section in sections:
        for record in section:
            assert to_record(record).data.isprintable()
    names = outcome(lambda: alias_chain(sections[0], query.name))
    assert isinstance(names, list) or "loops" in str(names)
    rng = random.Random(reply)
    limit = rng.choice((512, 4096))
    body = rng.choice((message.body, message.body_with_ttls(1, 5, 7)))
    assert len(body) == len(message.body)
    plain = respond(query, b"", message, limit)
    for variant in islice(in_turn(query, message, limit, body, rng), 2):
        # as many records as without reordering, cut only where that is
        assert variant[:10] == plain[:10]
        assert len(variant) <= limit


def test_spoiled_replies() -> None:
    rng = random.Random(2308)
    taken = 0
    for _ in range(COUNT):
        asked, good = rng.choice(REPLIES)
        taken += relayed(spoiled(rng, [good]), asked)
    assert COUNT / 20 < taken < COUNT * 9 / 10


def test_good_replies_are_all_taken() -> None:
    assert [relayed(good, asked) for asked, good in REPLIES] == [True] * len(REPLIES)


def test_readers_on_their_own() -> None:
    """Each reader on bytes no other has looked at before."""
    rng = random.Random(6891)
    found: Counter[str] = Counter()
    for _ in range(COUNT):
        asked, good = rng.choice(REPLIES)
        data = spoiled(rng, [good])
        at = rng.randrange(len(data) + 2)
        start = rng.choice((at, 12 + len(question(asked))))
        name = outcome(partial(read_name, data, at))
        sections = outcome(partial(read_records, data, start))
        record = outcome(partial(to_record, data[at:]))
        found.update(type(result).__name__ for result in (name, sections, record))
        # the two readers of names agree on what a name is
        try:
            end = check_name(data, at, {})
        except (WireError, IndexError):
            assert isinstance(name, WireError)
        else:
            assert at < end <= len(data)
            assert isinstance(name, bytes)
            assert len(name) <= 255
    assert set(found) == {"bytes", "tuple", "Record", "WireError"}
    assert min(found.values()) > COUNT / 20
