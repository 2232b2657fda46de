"""Replies to clients: fitted to ID, spelling, EDNS and size, as dnspython reads them."""

from __future__ import annotations

import pytest

from consulfwd.dns import const, replies
from consulfwd.dns.edns import build_ede, build_keepalive
from consulfwd.dns.message import Message, assemble_message, read_reply
from consulfwd.dns.records import build_record, read_records
from consulfwd.dns.replies import STREAM_LIMIT, respond
from consulfwd.dns.wire import Query, read_query
from tests.dns.packets import ID, counts, lines, packet, parse, question, wire, wire_name

WEB = "web.consul A"
A1 = "an web.consul. 30 IN A 10.0.0.1"
NOERROR_EDNS = "QR RD RA NOERROR edns=1232"
EDE = build_ede(3, "old")


def asks(asked: str = WEB, flags: str = "RD", edns: int | None = 4096, do: bool = False) -> Query:
    return read_query(packet(asked, flags=flags, edns=edns, do=do))


def upstream(*records: str, asked: str = WEB, flags: str = "QR", rcode: int = 0) -> Message:
    return read_reply(packet(asked, *records, flags=flags, rcode=rcode, edns=1232), question(asked))


FLAGS = [
    # what the client sent, what the upstream replied, what the client gets
    ("", "QR", "QR RA"),
    ("RD", "QR RD RA", "QR RD RA"),
    ("RD CD", "QR AA RA", "QR AA RD RA CD"),
    ("RD TC AA RA", "QR", "QR RD RA"),
    ("RD", "QR TC", "QR TC RD RA"),
    ("RD", "QR AD", "QR RD RA"),
    ("RD AD", "QR AD", "QR RD RA AD"),
    ("RD AD", "QR", "QR RD RA"),
    ("RD", "QR CD RD", "QR RD RA"),
]


@pytest.mark.parametrize(("sent", "replied", "told"), FLAGS)
def test_flags(sent: str, replied: str, told: str) -> None:
    reply = respond(asks(flags=sent), ID, upstream(A1, flags=replied), 512)
    assert lines(reply) == [f"{told} NOERROR edns=1232", "web.consul. A", A1]
    assert reply[:2] == ID
    assert respond(asks(flags=sent), b"", upstream(A1, flags=replied), 512) == reply[2:]


def test_authenticated_data_for_who_asked_by_do() -> None:
    reply = respond(asks(do=True), ID, upstream(A1, flags="QR AD"), 512)
    assert lines(reply)[0] == "QR RD RA AD NOERROR edns=1232 do"


@pytest.mark.parametrize(
    ("rcode", "options", "plain", "edns"),
    [
        (0, b"", "NOERROR", "NOERROR edns=1232"),
        (3, b"", "NXDOMAIN", "NXDOMAIN edns=1232"),
        (2, EDE, "SERVFAIL", "SERVFAIL edns=1232 EDE 3 (Stale Answer): old"),
        (0, EDE, "NOERROR", "NOERROR edns=1232 EDE 3 (Stale Answer): old"),
        # extended ones have their upper bits in the OPT; without one, SERVFAIL says the most
        (16, b"", "SERVFAIL", "BADVERS edns=1232"),
        (23, EDE, "SERVFAIL", "BADCOOKIE edns=1232 EDE 3 (Stale Answer): old"),
        (4095, b"", "SERVFAIL", "4095 edns=1232"),
    ],
)
@pytest.mark.parametrize("do", [False, True])
def test_rcodes_and_options(rcode: int, options: bytes, plain: str, edns: str, do: bool) -> None:
    message = replies.empty(question(WEB), rcode)
    assert message.rcode == rcode
    without = respond(asks(edns=None), ID, message, 512, options=options)
    assert lines(without) == [f"QR RD RA {plain}", "web.consul. A"]
    within = respond(asks(do=do), ID, message, 512, options=options)
    assert lines(within) == [
        "QR RD RA " + edns.replace("1232", "1232 do" if do else "1232"), "web.consul. A",
    ]  # fmt: skip


@pytest.mark.parametrize("spelled", ["web.consul", "WEB.consul", "wEb.cOnSuL"])
def test_the_clients_own_spelling(spelled: str) -> None:
    records = (
        "an web.consul. 0 IN NS n1.web.consul.",
        "an web.consul. 0 IN NS n2.web.consul.",
        "ad n1.web.consul. 0 IN A 10.0.0.1",
    )
    message = upstream(*records, asked="web.consul NS")
    reply = respond(asks(f"{spelled} NS"), ID, message, 512)
    # what is compressed to the question takes its spelling, as with any server
    assert lines(reply)[1:] == [
        f"{spelled}. NS",
        *(line.replace("web.consul.", f"{spelled}.") for line in records),
    ]
    rebuilt = assemble_message(
        question("web.consul NS"), read_records(reply, 12 + len(question(WEB))), flags=0
    )
    again = respond(asks(f"{spelled} NS"), ID, rebuilt, 512)
    assert lines(again)[1:] == lines(reply)[1:]


# -- size -----------------------------------------------------------------------------------

MANY = [f"an web.consul. 0 IN SRV 1 1 {n} n{n}.node.consul." for n in range(40)]
FEW = [f"au web.consul. 0 IN NS n{n}.node.consul." for n in range(3)]
GLUE = [f"ad n{n}.node.consul. 0 IN A 10.0.0.{n}" for n in range(40)]
LARGE = [*MANY, *FEW, *GLUE]


@pytest.mark.parametrize("limit", [512, 1232, 1700, 2000, 4096])
@pytest.mark.parametrize("edns", [None, 4096])
@pytest.mark.parametrize("options", [b"", EDE])
def test_cut_at_a_record_with_tc(limit: int, edns: int | None, options: bytes) -> None:
    message = upstream(*LARGE, asked="web.consul SRV")
    query = asks("web.consul SRV", edns=edns)
    whole = respond(query, ID, message, STREAM_LIMIT, options=options)
    assert lines(whole)[2:] == LARGE
    reply = respond(query, ID, message, limit, options=options)
    head, _, *kept = lines(reply)
    assert len(reply) <= limit
    assert kept == LARGE[: len(kept)]
    # RFC 2181 section 9: that less stands beside the answer is no cut of it.
    assert ("TC" in head.split()) is (len(kept) < len(MANY))
    assert ("edns=1232" in head, "EDE 3" in head) == (edns is not None, bool(edns and options))
    numbers = [sum(line.startswith(name) for line in kept) for name in ("an", "au", "ad")]
    numbers[2] += edns is not None
    assert counts(reply) == (1, *numbers)
    if len(kept) < len(LARGE):
        following = message.ends[len(kept)] - (message.ends[len(kept) - 1] if kept else 0)
        assert len(reply) + following > limit, "the next record would have fitted"


def test_every_limit_from_none_to_all() -> None:
    records = [A1, *FEW, *GLUE[:2]]
    message = upstream(*records)
    query = asks()
    size = len(respond(query, ID, message, 512))
    seen = []
    for limit in range(size + 2):
        head, _, *kept = lines(respond(query, ID, message, limit))
        assert ("TC" in head.split()) is (not kept)
        assert kept == records[: len(kept)]
        fit = sum(size - len(message.body) + end <= limit for end in message.ends)
        # Three NS are one RRset: all of them or none.
        assert len(kept) == (fit if fit not in (2, 3) else 1)
        seen.append(len(kept))
        assert replies.fits(query, message, limit) is (limit >= size)
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 4, 5, 6}


def test_a_denial_without_its_soa_is_cut() -> None:
    message = upstream("au consul. 60 IN SOA ns.consul. root.consul. 7 3600 600 86400 15")
    head, _, *kept = lines(respond(asks(), ID, message, 60))
    assert (kept, "TC" in head.split()) == ([], True)


def test_another_body_is_cut_by_the_same_rule() -> None:
    message = upstream(*MANY, asked="web.consul SRV")
    query = asks("web.consul SRV")
    aged = message.body_with_ttls(0, 7)
    head, _, *kept = lines(respond(query, ID, message, 512, body=aged))
    assert "TC" in head.split()
    assert kept == [line.replace(" 0 IN", " 7 IN") for line in MANY[: len(kept)]]
    # one of another length whole where it fits, and else not at all
    other = upstream("an web.consul. 1 IN SRV 9 9 9 other.node.consul.", asked="web.consul SRV")
    longer = other.body * 40
    assert len(longer) != len(message.body)
    assert lines(respond(query, ID, message, 4096, body=longer))[2].startswith("an web.consul. 1 ")
    cut = lines(respond(query, ID, message, 512, body=longer))
    assert cut[2:] == MANY[: len(cut) - 2]


def test_without_edns_fits_to_512() -> None:
    query = asks("web.consul SRV", edns=None)
    message = upstream(*MANY[:10], asked="web.consul SRV")
    size = len(respond(query, ID, message, STREAM_LIMIT))
    assert replies.fits(query, message, size)
    assert not replies.fits(query, message, size - 1)


@pytest.mark.parametrize(
    ("announced", "on_host", "off_host"),
    [
        (None, 512, 512), (0, 512, 512), (511, 512, 512), (512, 512, 512), (1231, 1231, 1231),
        (1232, 1232, 1232), (1233, 1233, 1232), (4096, 4096, 1232), (65507, 65507, 1232),
        (65508, 65507, 1232), (65535, 65507, 1232),
    ],
)  # fmt: skip
def test_size_a_client_may_be_sent(announced: int | None, on_host: int, off_host: int) -> None:
    query = asks(edns=announced)
    assert replies.udp_limit(query, on_host=True) == on_host
    assert replies.udp_limit(query, on_host=False) == off_host


# -- made here ------------------------------------------------------------------------------

ASKED = "'web' 'Consul' . 0001 0001"


@pytest.mark.parametrize(
    ("data", "rcode", "reply"),
    [
        (f"1234 0100 0001 0000 0000 0003 {ASKED} ff", 1, f"1234 8101 0001 0000 0000 0000 {ASKED}"),
        (f"1234 2110 0001 0000 0000 0000 {ASKED}", 4, f"1234 a104 0001 0000 0000 0000 {ASKED}"),
        ("1234 7ff0 0000 0000 0000 0000", 4, "1234 f904 0000 0000 0000 0000"),
        ("1234 7ef0 0000 0000 0000 0000", 4, "1234 f804 0000 0000 0000 0000"),
        (f"1234 07f0 0002 0000 0000 0000 {ASKED} {ASKED}", 1, "1234 8111 0000 0000 0000 0000"),
        ("1234 0000 0000 0000 0000 0000", 1, "1234 8001 0000 0000 0000 0000"),
        ("1234 0000 0001 0000 0000 0000 @12 0001 0001", 1, "1234 8001 0000 0000 0000 0000"),
        (
            f"1234 2100 0001 0000 0000 0001 {ASKED} . 0029 0200 00 01 8000 0000", 4,
            f"1234 a104 0001 0000 0000 0001 {ASKED} . 0029 04d0 00 00 8000 0000",
        ),
    ],
)
def test_refusals_of_broken_queries(data: str, rcode: int, reply: str) -> None:
    assert replies.refuse(wire(data), rcode) == wire(reply)


@pytest.mark.parametrize(
    ("edns", "ede", "head"),
    [
        (None, None, "QR RD REFUSED"),
        (None, (18, "not here"), "QR RD REFUSED"),
        (512, None, "QR RD REFUSED edns=1232 do"),
        (512, (18, "not here"), "QR RD REFUSED edns=1232 do EDE 18 (Prohibited): not here"),
    ],
)
def test_refusals_of_good_queries(edns: int | None, ede: tuple[int, str] | None, head: str) -> None:
    data = packet("Web.consul A", flags="RD", edns=edns, do=True)
    assert lines(replies.refuse(data, const.REFUSED, read_query(data), ede)) == [
        head, "Web.consul. A",
    ]  # fmt: skip


SOA_LINE = "au {zone} {ttl} IN SOA {mname} nobody.invalid. 1 3600 1200 604800 60"


@pytest.mark.parametrize(
    ("asked", "zone", "rdatas", "rcode", "expected"),
    [
        ("localhost A", "localhost", [bytes((127, 0, 0, 1))], 0,
         ["QR AA RD RA NOERROR edns=1232", "localhost. A", "an localhost. 9 IN A 127.0.0.1"]),
        ("localhost MX", "localhost", [], 0,
         ["QR AA RD RA NOERROR edns=1232", "localhost. MX",
          SOA_LINE.format(zone="localhost.", ttl=9, mname="localhost.")]),
        ("a.B.invalid A", "invalid", [], 3,
         ["QR AA RD RA NXDOMAIN edns=1232", "a.B.invalid. A",
          SOA_LINE.format(zone="invalid.", ttl=9, mname="invalid.")]),
        (". DS", ".", [], 0,
         ["QR AA RD RA NOERROR edns=1232", ". DS",
          SOA_LINE.format(zone=".", ttl=9, mname="localhost.")]),
    ],
)  # fmt: skip
def test_local_answers(
    asked: str, zone: str, rdatas: list[bytes], rcode: int, expected: list[str]
) -> None:
    message = replies.local_answer(question(asked), wire_name(zone), rdatas, rcode, 9)
    assert lines(respond(asks(asked), ID, message, 512)) == expected
    assert message.negative is (not rdatas)
    assert message.negative_ttl == (None if rdatas else 9)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("10.in-addr.arpa SOA", SOA_LINE.format(zone="10.in-addr.arpa.", ttl=99,
                                                mname="10.in-addr.arpa.").replace("au", "an")),
        ("10.in-addr.arpa NS", "an 10.in-addr.arpa. 99 IN NS 10.in-addr.arpa."),
        # As long as the MINIMUM at most.
        ("10.in-addr.arpa A", SOA_LINE.format(zone="10.in-addr.arpa.", ttl=60,
                                              mname="10.in-addr.arpa.")),
    ],
)  # fmt: skip
def test_what_a_zone_made_here_has_of_its_own(asked: str, line: str) -> None:
    zone = wire_name("10.in-addr.arpa")
    message = replies.local_answer(question(asked), zone, [], 0, 99, own=True)
    found = lines(respond(asks(asked), ID, message, 512))
    assert found == ["QR AA RD RA NOERROR edns=1232", asked.replace(" ", ". "), line]


def test_minimal_answer_to_any() -> None:
    message = replies.minimal_any(question("example.com ANY"))
    assert lines(respond(asks("Example.com ANY"), ID, message, 512)) == [
        NOERROR_EDNS, "Example.com. ANY", 'an Example.com. 3789 IN HINFO "RFC8482" ""',
    ]  # fmt: skip
    assert (message.matched, message.ttl) == (True, 3789)


@pytest.mark.parametrize(
    ("records", "rcode", "flags", "head"),
    [
        (("an www.example.com. 9 IN A 192.0.2.1",), 0, "QR AA RA", NOERROR_EDNS),
        (("au example.com. 9 IN SOA ns.example.com. root.example.com. 1 2 3 4 5",), 3, "QR",
         "QR RD RA NXDOMAIN edns=1232"),
        (("an www.example.com. 9 IN A 192.0.2.1", "ad ns.example.com. 9 IN A 192.0.2.2"), 0,
         "QR TC", "QR TC RD RA NOERROR edns=1232"),
    ],
)  # fmt: skip
def test_an_alias_and_what_its_target_gave(
    records: tuple[str, ...], rcode: int, flags: str, head: str
) -> None:
    target = upstream(*records, asked="www.example.com A", rcode=rcode, flags=flags)
    raw = respond(asks("www.example.com A"), ID, target, STREAM_LIMIT)
    rest = read_records(raw, 12 + len(question("www.example.com A")))
    alias = build_record(wire_name("web.consul"), const.CNAME, 5, wire_name("www.example.com"))
    message = replies.join_alias(question(WEB), [alias], rest, target)
    assert lines(respond(asks(), ID, message, 512)) == [
        head, "web.consul. A", "an web.consul. 5 IN CNAME www.example.com.", *records,
    ]  # fmt: skip
    assert message.rcode == rcode


@pytest.mark.parametrize("do", [False, True])
def test_queries_for_upstreams(do: bool) -> None:
    options = wire("0008 0007 0001 1800 0a0102")
    sent = ID + replies.build_query(
        question("Web.consul SRV"), const.RD | const.CD, 4096, do=do, options=options
    )
    assert lines(sent) == [
        f"RD CD NOERROR edns=4096 {'do ' if do else ''}ECS 10.1.2.0/24 scope/0", "Web.consul. SRV",
    ]  # fmt: skip
    query = read_query(sent)
    assert (query.question, query.do) == (question("Web.consul SRV"), do)
    assert parse(ID + replies.build_query(question(WEB), 0, 512)).payload == 512


KEPT = build_keepalive(10.0)


@pytest.mark.parametrize("options", [b"", EDE, EDE + build_ede(0, "more")])
@pytest.mark.parametrize("do", [False, True])
def test_options_are_put_in_behind_those_there_are(options: bytes, do: bool) -> None:
    query = asks(do=do)
    reply = respond(query, ID, upstream(A1), 512, options=options)
    more = replies.with_options(reply, len(options), KEPT)
    assert more == respond(query, ID, upstream(A1), 512, options=options + KEPT)
    assert lines(more)[1:] == lines(reply)[1:]


def test_options_are_for_who_speaks_edns() -> None:
    reply = respond(asks(edns=None), ID, upstream(A1), 512)
    assert replies.with_options(reply, 0, KEPT) == reply


@pytest.mark.parametrize(("length", "told"), [(65_529, True), (65_530, False)])
def test_options_are_not_worth_a_record(length: int, told: bool) -> None:
    reply = respond(asks(), ID, upstream(A1), 512)
    reply = reply[:-11] + bytes(length - len(reply)) + reply[-11:]
    assert (len(replies.with_options(reply, 0, KEPT)) > length) is told
