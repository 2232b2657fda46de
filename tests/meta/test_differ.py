"""The comparison with other servers sees what differs, names it, and says how to ask again."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.integration.differ import odd
from tests.integration.differ.facts import NO_REPLY, Facts, read, ttl_class
from tests.integration.differ.kinds import Difference, differences
from tests.integration.differ.questions import Query, generate, parse
from tests.integration.differ.reasons import ACCEPTED
from tests.integration.differ.run import Found

NAMES = ("consulfwd", "unbound", "bind", "dnsdist")
A = "www.example.test. 3000 IN A 192.0.2.10"
SOA = "example.test. 3000 IN SOA ns. hostmaster. 1 3600 600 86400 2000"
QUERY = parse("www.example.test A +bufsize=1232 +do")


def said(
    *answer: str, authority: str = "", rcode: str = "NOERROR", flags: str = "RD RA", edns: int = 0
) -> bytes:
    """The reply to QUERY with these records, behind its ID."""
    query = dns.message.from_wire(b"\0\0" + QUERY.wire())
    reply = dns.message.make_response(query)
    reply.use_edns(None if edns < 0 else edns, ednsflags=dns.flags.DO)
    reply.flags = dns.flags.from_text(f"QR {flags}")
    reply.set_rcode(dns.rcode.from_text(rcode))
    for section, records in ((reply.answer, answer), (reply.authority, [authority])):
        for record in filter(None, records):
            owner, ttl, rclass, rtype, data = record.split(maxsplit=4)
            section.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
    return reply.to_wire(max_size=65535)[2:]


USUAL = said(A)
OTHERWISE = USUAL.replace(b"\3www", b"\3wWw", 1)


def facts(*wires: bytes | None) -> dict[str, Facts]:
    return dict(zip(NAMES, (read(wire, QUERY) for wire in wires), strict=True))


def kinds(ours: bytes | None, *theirs: bytes | None) -> list[tuple[str, bool]]:
    replies = facts(ours, *(theirs or (USUAL, USUAL, USUAL)))
    return [(one.kind, one.alone) for one in differences("consulfwd", replies, QUERY)]


@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        (None, "no reply"),
        (b"\x80\0\0\1", "malformed"),
        (said(rcode="SERVFAIL"), "SERVFAIL instead of NOERROR"),
        (said(flags="RD RA TC"), "TC set"),
        (said(A, flags="RD RA AD"), "AD set"),
        (said(A, flags="RA"), "RD not set"),
        (said(A, edns=-1), "no EDNS"),
        (said(), "answer: left out"),
        (said(A, "www.example.test. 3000 IN A 192.0.2.11"), "answer: more records"),
        (said("www.example.test. 3000 IN A 192.0.2.11"), "answer: other records"),
        (said(A, authority=SOA), "authority: only here"),
        (said("www.example.test. 30 IN A 192.0.2.10"), "TTL lower in the answer"),
        (said("www.example.test. 86000 IN A 192.0.2.10"), "TTL higher in the answer"),
        (said("www.example.test. 2500 IN A 192.0.2.10"), ""),
        (OTHERWISE, "question spelled otherwise, owners spelled otherwise"),
        (USUAL.replace(b"\x04\xd0", b"\x02\0"), "EDNS size 512"),
    ],
)
def test_a_difference_has_a_name(ours: bytes | None, kind: str) -> None:
    assert kinds(ours) == [(one, True) for one in kind.split(", ") if one]


def test_who_is_the_odd_one() -> None:
    other, third = said(A, flags="RD RA AD"), said(A, flags="RD RA AD", authority=SOA)
    # As one of them, but not as most; as most; and where nobody agrees.
    assert kinds(other, USUAL, USUAL, other) == [("AD set", False)]
    assert kinds(USUAL, USUAL, USUAL, other) == []
    assert kinds(USUAL, USUAL, other, other) == [("AD not set", False)]
    assert kinds(USUAL, other, third, None) == [("AD not set", True)]
    # One alone to compare with does not tell who is.
    assert kinds(USUAL, other, None, None) == []
    assert kinds(None, None, None, None) == []


def test_a_reply_larger_than_announced_is_told() -> None:
    many = [f"www.example.test. 3000 IN A 192.0.2.{number}" for number in range(1, 100)]
    assert ("larger than may be", True) in kinds(said(*many))


def test_aliases_out_of_order_are_told() -> None:
    alias = "www.example.test. 3000 IN CNAME to.example.test."
    target = "to.example.test. 3000 IN A 192.0.2.10"
    usual = said(alias, target)
    assert kinds(said(target, alias), usual, usual, usual) == [("aliases out of order", True)]


def test_ttls_are_classes() -> None:
    assert [ttl_class(ttl) for ttl in (0, 1, 30, 31, 2999, 1 << 31)] == [
        *(0, 30, 30, 60, 3000, 1 << 31)
    ]


def test_what_has_no_reason_is_shown_with_the_way_to_ask_again() -> None:
    found = Found()
    found.add(QUERY, facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL))
    shown = found.faults()
    assert "consulfwd: SERVFAIL instead of NOERROR (1 queries)" in shown
    assert "    answer ...3000 www.example.test. A 192.0.2.10" in shown
    assert f"python -m tests.integration.differ --query '{QUERY}'" in shown
    assert all(f"  {name}: " in shown for name in NAMES)


def test_what_has_a_reason_is_counted_by_it() -> None:
    found = Found()
    query = parse("consul DS")
    nodata, denied = (read(said(rcode=one), QUERY) for one in ("NOERROR", "NXDOMAIN"))
    found.add(query, dict(zip(NAMES, (nodata, denied, denied, denied), strict=True)))
    assert found.faults() == ""
    assert [(kind, one.server) for kind, one in found.explained] == [
        ("NOERROR instead of NXDOMAIN", "consulfwd")
    ]


def test_what_is_not_seen_again_is_told_apart_from_what_lasts() -> None:
    found, asked = Found(), []
    found.add(QUERY, facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL))
    (differing,) = (key for key in found.unexplained if key[0] == "consulfwd")

    def agreed(query: Query) -> dict[str, Facts]:
        asked.append(query)
        return facts(USUAL, USUAL, USUAL, USUAL)

    lasting = Found()
    lasting.add(QUERY, facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL))
    lasting.look_again(lambda query: facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL))
    assert differing in lasting.unexplained
    assert not lasting.passing
    found.look_again(agreed)
    assert asked == [QUERY] * 3
    assert not found.faults()
    assert [one.kind for one in found.passing] == [differing[1]]
    assert "again: python -m" in found.passed()


def test_what_passes_where_a_peer_said_nothing_is_not_strange() -> None:
    for peer, strange in ((USUAL, 1), (None, 0)):
        found = Found()
        replies = facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL)
        if peer is None:
            replies["unbound"] = NO_REPLY
        found.add(QUERY, replies)
        found.look_again(lambda query: facts(USUAL, USUAL, USUAL, USUAL))
        assert len(found.passing) >= 1
        assert len(found.strange()) == strange
    # Of ours silence is what it is.
    found = Found()
    found.add(QUERY, facts(USUAL, USUAL, USUAL, USUAL) | {"consulfwd": NO_REPLY})
    found.look_again(lambda query: facts(USUAL, USUAL, USUAL, USUAL))
    assert found.strange() == found.passing != []


def test_what_differs_often_is_not_asked_again() -> None:
    found = Found()
    for _ in range(4):
        found.add(QUERY, facts(said(rcode="SERVFAIL"), USUAL, USUAL, USUAL))
    found.look_again(lambda query: facts(USUAL, USUAL, USUAL, USUAL))
    assert found.faults()
    assert not found.passing


def test_what_is_lost_has_no_reason_anywhere() -> None:
    for query in generate(5, 300):
        for kind in ("no reply", "malformed", "larger than may be", "RD not set", "no EDNS"):
            lost = Difference(kind, "consulfwd", query, True)
            assert [one for one in ACCEPTED if one.fits(lost, NO_REPLY)] == []


def test_queries_are_the_same_for_a_seed_and_can_be_written() -> None:
    # Enough that rare names are among them.
    some = list(generate(22, 5000))
    assert some == list(generate(22, 5000)) != list(generate(2, 5000))
    assert [parse(str(query)) for query in some] == some
    for query in some:
        message = dns.message.from_wire(b"\0\0" + query.wire())
        assert message.question[0].name.to_text() in (query.name, f"{query.name}.")
        assert bool(message.flags & dns.flags.RD) == ("nord" not in query.marks)
        assert (message.payload if message.edns >= 0 else None) == query.edns
    with pytest.raises(ValueError, match="unknown: dnssec"):
        parse("www.example.test A +dnssec")


@pytest.mark.parametrize("label", sorted(odd.REPLIES))
def test_odd_replies_are_what_they_say(label: str) -> None:
    query = Query(f"{label}.{odd.ZONE}", "A", 1232)
    wire = odd.answer(b"\0\7" + query.wire())
    assert wire is not None
    rcode, answer, authority = odd.REPLIES[label]
    reply = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert (dns.rcode.to_text(reply.rcode()), reply.edns) == (rcode, 0)
    assert [len(answer), len(authority)] == [len(reply.answer), len(reply.authority)]
