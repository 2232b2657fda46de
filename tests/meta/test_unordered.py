"""Replies that say the same in another order are known for that before they are read."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.integration.asking import facts, unordered

MANY = [f"10.0.30.{n}" for n in range(1, 61)]


def reply(addresses: Sequence[str], ttl: int = 0, rtype: str = "A") -> dns.message.Message:
    query = dns.message.make_query("big.service.consul", rtype, use_edns=0)
    made = dns.message.make_response(query)
    made.id = 0
    for one in addresses:
        made.answer.append(dns.rrset.from_text("big.service.consul.", ttl, "IN", rtype, one))
    made.additional.append(dns.rrset.from_text("n.node.consul.", 0, "IN", "TXT", '"a=b"'))
    return made


def packet(made: dns.message.Message) -> bytes:
    return made.to_wire(max_size=65535)[2:]


def test_another_order_is_no_difference() -> None:
    mixed = random.Random(1).sample(MANY, len(MANY))
    one, other = reply(MANY), reply(mixed)
    assert packet(one) != packet(other)
    assert facts(one) == facts(other)
    assert unordered(packet(one)) == unordered(packet(other))


def other_address() -> dns.message.Message:
    return reply([*MANY[:-1], "10.0.30.99"])


def other_section() -> dns.message.Message:
    made = reply(MANY)
    made.additional.append(made.answer.pop())
    return made


def other_code() -> dns.message.Message:
    made = reply(MANY)
    made.set_rcode(dns.rcode.SERVFAIL)
    return made


def told_why() -> dns.message.Message:
    made = reply(MANY)
    made.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER)])
    return made


def cut() -> dns.message.Message:
    made = reply(MANY)
    made.flags |= dns.flags.TC
    return made


@pytest.mark.parametrize(
    "made",
    [
        lambda: reply(MANY[:-1]),
        lambda: reply([*MANY, MANY[0]]),
        lambda: reply(MANY, ttl=1),
        other_address,
        other_section,
        other_code,
        told_why,
        cut,
    ],
)
def test_all_else_is(made: Callable[[], dns.message.Message]) -> None:
    assert unordered(packet(made())) != unordered(packet(reply(MANY)))


def test_where_names_may_be_pointed_at_it_is_the_reply_itself() -> None:
    made = packet(reply(["1 1 80 a.example.", "1 1 80 b.example."], rtype="SRV"))
    assert unordered(made) == (made,)


def test_so_it_is_of_what_cannot_be_read() -> None:
    whole = packet(reply(MANY))
    for end in range(len(whole)):
        assert unordered(whole[:end]) == (whole[:end],)
    # A name that points at itself.
    loop = whole[:10] + b"\xc0\x0c" + whole[12:]
    assert unordered(loop) == (loop,)
