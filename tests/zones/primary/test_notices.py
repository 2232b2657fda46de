"""NOTIFY: what is sent, which replies count, when again."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from consulfwd.zones.primary import notices, tsig
from tests.zones.made import ORIGIN
from tests.zones.primary.pulled import KEY, KEYRING, THEIR_KEY, WIRE, version

NOW = 1_000


def unsigned() -> notices.Notice:
    return notices.build(WIRE, version(5), b"ab", None, NOW)


def answered(notice: notices.Notice, rcode: str = "NOERROR", **changes: object) -> bytes:
    """A secondary's reply."""
    query = dns.message.make_query(str(changes.get("name", ORIGIN)), "SOA", id=0x6162)
    query.set_opcode(dns.opcode.NOTIFY)
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.from_text(rcode))
    return reply.to_wire()


def test_what_is_sent() -> None:
    found = dns.message.from_wire(unsigned().octets)
    assert found.opcode() == dns.opcode.NOTIFY
    assert found.flags & dns.flags.AA
    assert str(found.question[0]) == f"{ORIGIN}. IN SOA"
    (soa,) = found.answer
    assert soa.rdtype == dns.rdatatype.SOA
    assert soa[0].serial == 5


@pytest.mark.parametrize(
    ("rcode", "said"),
    [
        ("NOERROR", ""),
        # It does not know such messages, and looks by itself.
        ("NOTIMP", ""),
        ("REFUSED", "it says REFUSED"),
        ("NOTAUTH", "it says NOTAUTH"),
    ],
)
def test_replies(rcode: str, said: str) -> None:
    assert notices.reply(answered(unsigned(), rcode), unsigned(), None, NOW) == said


def test_what_is_no_reply() -> None:
    notice = unsigned()
    good = answered(notice)
    query = dns.message.make_query(ORIGIN, "SOA", id=0x6162)
    for other in (
        b"",
        good[:11],
        b"ac" + good[2:],
        notice.octets,
        dns.message.make_response(query).to_wire(),
        answered(notice, name="other.example"),
        good[:20],
    ):
        assert notices.reply(other, notice, None, NOW) is None
    # Some leave the question out.
    assert notices.reply(good[:4] + bytes(8), notice, None, NOW) == ""


def test_signed() -> None:
    notice = notices.build(WIRE, version(5), b"ab", KEY, NOW)
    found = tsig.find(notice.octets)
    assert found is not None
    assert tsig.wrong(KEY, notice.octets, found, NOW) == 0
    good = answered(notice)
    # As nothing proves who said so; a refusal is one all the same.
    assert notices.reply(good, notice, KEY, NOW) is None
    assert notices.reply(answered(notice, "REFUSED"), notice, KEY, NOW) == "it says REFUSED"
    signed = tsig.Signer(KEY, notice.mac).sign(good, NOW)
    assert notices.reply(signed, notice, KEY, NOW) == ""
    assert notices.reply(signed, notice, KEY, NOW + 301) is None
    other = tsig.Signer(KEY, b"x" * 32).sign(good, NOW)
    assert notices.reply(other, notice, KEY, NOW) is None
    refused = tsig.refused(answered(notice, "NOTAUTH"), found, tsig.BADKEY, None, NOW)
    said = notices.reply(refused, notice, KEY, NOW)
    assert said == "it does not take our signature (BADKEY: no such key there)"


def test_dnspython_takes_it() -> None:
    import time

    notice = notices.build(WIRE, version(5), b"ab", KEY, time.time())
    found = dns.message.from_wire(notice.octets, keyring=KEYRING)
    assert found.keyname == THEIR_KEY.name


def test_when_again() -> None:
    assert [notices.pause(number) for number in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert notices.pause(10_000) == 60


def test_what_is_told() -> None:
    telling = notices.Telling()
    assert telling.worked() == ""
    said = [telling.failed("no reply") for _ in range(10)]
    assert [one for one in said if one] == ["is not told of new versions: no reply; tried again"]
    assert said.index("is not told of new versions: no reply; tried again") == 4
    assert telling.worked() == "is told of new versions again"
    assert telling.worked() == ""
