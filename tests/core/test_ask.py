"""A client's question made ready: what is answered here, what makes another key, what is sent."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import dns.edns
import dns.flags
import dns.message
import pytest

from consulfwd.core.access import MAX_SEEN, Access
from consulfwd.core.ask import Ask, prepare
from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.special import special_routes
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.edns import build_option
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import ROOT, from_text
from consulfwd.dns.records import build_record
from consulfwd.dns.wire import Query
from tests.core.play import NAME, address, answer, edns, query, upstream

LOCAL, FAR, RECURSOR = upstream("A"), upstream("B", on_host=False), upstream("R")
GROUP = Group("agents", [LOCAL, FAR], "ordered", Health())
ROUTES = Routes(
    [
        Route(from_text("consul"), Kind.CONSUL, (GROUP,)),
        *special_routes(),
        Route(from_text("10.in-addr.arpa"), Kind.NOTHING),
        Route(ROOT, Kind.RECURSE, (Group("recursors", [RECURSOR], "ordered", Health()),)),
    ]
)
SUBNET = build_option(const.ECS, b"\0\1\x18\0\x0a\1\2")
OTHER = build_option(const.ECS, b"\0\1\x18\0\x0a\1\3")
COOKIE = build_option(10, b"12345678")


def ask(name: str = "web.service.consul", qtype: int = const.A, **how: Any) -> Ask:
    return prepare(query(name, qtype, **how), ROUTES)


# Question -> how it is answered here: rcode, records in Answer and Authority, TTL.
HERE: dict[str, tuple[Query, int, int, int]] = {
    "localhost A": (query("localhost"), const.NOERROR, 1, 0),
    "LOCALHOST AAAA": (query("LOCALHOST", const.AAAA), const.NOERROR, 1, 0),
    "localhost MX": (query("localhost", const.MX), const.NOERROR, 0, 1),
    "127.0.0.1 PTR": (query("1.0.0.127.in-addr.arpa", const.PTR), const.NOERROR, 1, 0),
    "invalid": (query("invalid"), const.NXDOMAIN, 0, 1),
    "x.onion": (query("x.onion"), const.NXDOMAIN, 0, 1),
    "private PTR": (query("1.2.3.10.in-addr.arpa", const.PTR), const.NXDOMAIN, 0, 1),
    "private apex": (query("10.in-addr.arpa"), const.NOERROR, 0, 1),
    "private SOA": (query("10.in-addr.arpa", const.SOA), const.NOERROR, 1, 0),
    "private NS": (query("10.in-addr.arpa", const.NS), const.NOERROR, 1, 0),
    "loopback SOA": (query("127.in-addr.arpa", const.SOA), const.NOERROR, 1, 0),
    "localhost SOA": (query("localhost", const.SOA), const.NOERROR, 0, 1),
    "invalid SOA": (query("invalid", const.SOA), const.NXDOMAIN, 0, 1),
    "resolver": (query("resolver.arpa", const.SOA), const.NOERROR, 0, 1),
    "_dns.resolver": (query("_dns.resolver.arpa", 64), const.NOERROR, 0, 1),
    "DS of Consul's domain": (query("consul", const.DS), const.NOERROR, 0, 1),
    "ANY outside Consul": (query("example.com", const.ANY), const.NOERROR, 1, 0),
    "ANY of what is not": (query("x.invalid", const.ANY), const.NXDOMAIN, 0, 1),
    "ANY of localhost": (query("localhost", const.ANY), const.NOERROR, 1, 0),
    "AXFR": (query("consul", const.AXFR), const.REFUSED, 0, 0),
    "IXFR": (query("example.com", const.IXFR), const.REFUSED, 0, 0),
    "TSIG": (query("example.com", const.TSIG), const.FORMERR, 0, 0),
    "TKEY": (query("example.com", const.TKEY), const.FORMERR, 0, 0),
    "OPT": (query("example.com", const.OPT), const.FORMERR, 0, 0),
    "type 0": (query("example.com", 0), const.FORMERR, 0, 0),
    "class CH": (query("version.bind", const.TXT, qclass=3), const.REFUSED, 0, 0),
    "class ANY": (query("web.service.consul", qclass=255), const.REFUSED, 0, 0),
    "EDNS version 1": (query(edns=edns(version=1)), const.BADVERS, 0, 0),
    "EDNS version 1, class CH": (query(edns=edns(version=1), qclass=3), const.BADVERS, 0, 0),
}


@pytest.mark.parametrize("what", HERE)
def test_answered_here(what: str) -> None:
    asked, rcode, answers, authorities = HERE[what]
    local = prepare(asked, ROUTES).local
    assert local is not None
    assert (local.rcode, local.answers, local.authorities) == (rcode, answers, authorities)
    if authorities:
        assert local.negative_ttl == (0 if asked.qtype == const.DS else 60)


@pytest.mark.parametrize(
    "how",
    [{}, {"flags": const.RD | const.CD}, {"edns": edns(do=True)}, {"edns": edns(options=SUBNET)}],
)
@pytest.mark.parametrize("name", ["web.service.consul", "near.query.consul", "www.example"])
def test_the_other_familys_question(name: str, how: dict[str, Any]) -> None:
    four, six = (ask(name, qtype, **how) for qtype in (const.A, const.AAAA))
    assert (four.sibling, six.sibling) == (six.key, four.key)
    assert ask(name, const.SRV, **how).sibling is None


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("web.service.consul", const.ANY),
        ("web.service.consul", const.DS),
        ("consul", const.SOA),
        ("example.com", const.DS),
        ("notconsul", const.DS),
        ("example.com", 65_280),
    ],
)
def test_asked_of_upstreams(name: str, qtype: int) -> None:
    assert ask(name, qtype).local is None


DIFFERENT = {
    "name": ask("db.service.consul"),
    "type": ask(qtype=const.AAAA),
    "DO": ask(edns=edns(do=True)),
    "CD": ask(flags=const.RD | const.CD),
    "DO and CD": ask(flags=const.CD, edns=edns(do=True)),
    "subnet": ask("q.query.consul", edns=edns(options=SUBNET)),
    "another subnet": ask("q.query.consul", edns=edns(options=OTHER)),
    "no subnet": ask("q.query.consul"),
    "nothing": ask(),
}
SAME = {
    "spelling": ask("WEB.service.Consul"),
    "EDNS": ask(edns=edns()),
    "size": ask(edns=edns(4096)),
    "cookie": ask(edns=edns(options=COOKIE)),
    "RD": ask(flags=0),
    "AD": ask(flags=const.RD | const.AD),
    "subnet, but no prepared query": ask(edns=edns(options=SUBNET)),
}


def test_what_may_have_different_answers_has_different_keys() -> None:
    assert len({one.key for one in DIFFERENT.values()}) == len(DIFFERENT)


@pytest.mark.parametrize("what", SAME)
def test_what_has_the_same_answer_has_the_same_key(what: str) -> None:
    assert SAME[what].key == ask().key


def sent(one: Ask, where: Upstream = LOCAL) -> dns.message.Message:
    return dns.message.from_wire(b"\0\0" + one.tail(where))


@pytest.mark.parametrize(("where", "size"), [(LOCAL, 65_000), (FAR, 1232), (RECURSOR, 1232)])
def test_the_size_announced_upstream_is_ours(where: Upstream, size: int) -> None:
    for asked in (ask(), ask(edns=edns(512))):
        assert sent(asked, where).payload == size


def test_what_is_sent_upstream() -> None:
    message = sent(ask("WEB.Service.CONSUL", flags=const.AD, edns=edns(options=COOKIE)))
    assert message.flags == dns.flags.RD
    assert str(message.question[0]) == "web.service.consul. IN A"
    assert (message.options, message.ednsflags) == ((), 0)
    assert sent(ask(flags=const.CD)).flags == dns.flags.RD | dns.flags.CD
    assert sent(ask(edns=edns(do=True))).ednsflags == dns.flags.DO


def test_over_a_stream_others_than_consul_are_asked_how_long_they_keep_it() -> None:
    for where, asked in ((LOCAL, ()), (FAR, ()), (RECURSOR, (const.KEEPALIVE,))):
        one = ask(edns=edns(do=True))
        for stream, options in ((False, ()), (True, asked), (False, ())):
            tail = one.tail(where, stream=stream)
            message = dns.message.from_wire(b"\0\0" + tail)
            assert tuple(option.otype for option in message.options) == options
            assert (message.payload, message.ednsflags) == (one.asked_size(where), dns.flags.DO)


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("q.query.consul", True),
        ("q.Query.dc1.consul", True),
        ("_q._tcp.query.consul", True),
        ("query.service.consul", True),  # perhaps a service of this name: no harm
        ("web.service.consul", False),
        ("myquery.consul", False),
        ("q.query.example.com", False),
    ],
)
def test_the_clients_subnet_is_passed_on_for_prepared_queries_only(name: str, passed: bool) -> None:
    message = sent(ask(name, edns=edns(options=COOKIE + SUBNET)))
    assert [option.otype for option in message.options] == [dns.edns.ECS] * passed


# Agent or recursor, answers, octets, with an OPT?, TC -> cut?
CUTS: dict[str, tuple[Upstream, int, int, bool, bool, bool]] = {
    "small": (LOCAL, 3, 100, True, False, False),
    "empty": (LOCAL, 0, 40, False, False, False),
    "TC": (LOCAL, 1, 100, True, True, True),
    "TC of a recursor": (RECURSOR, 1, 100, True, True, True),
    "EDNS was lost": (LOCAL, 3, 100, False, False, True),
    "no EDNS from a recursor": (RECURSOR, 3, 100, False, False, False),
    "half the size": (LOCAL, 3, 32_500, True, False, False),
    "over half the size": (LOCAL, 3, 32_501, True, False, True),
    "off the host, room for one more": (FAR, 3, 1184, True, False, False),
    "off the host, no room for one more": (FAR, 3, 1185, True, False, True),
    "large from a recursor": (RECURSOR, 3, 1232, True, False, False),
}


@pytest.mark.parametrize("what", CUTS)
def test_what_may_have_been_cut(what: str) -> None:
    where, count, size, opt, tc, cut = CUTS[what]
    message = answer(count, opt=opt, flags=const.TC if tc else 0)
    message.size = size
    assert ask().cut(where, message) is cut


def made(*records: bytes, beside: tuple[bytes, ...] = (), size: int = 0) -> Message:
    """Return a message of answers and of what is beside them, as if it had so many octets."""
    sections: tuple[list[bytes], ...] = ([*records], [], [*beside])
    message = assemble_message(ask(qtype=const.SRV).question, sections, flags=0)
    message.edns, message.size = edns(), size or message.size
    return message


NODES = [from_text(f"n{number}.node.dc1.consul") for number in range(70)]
SERVERS = [build_record(NAME, const.SRV, 0, b"\0\1\0\1\0\x50" + node) for node in NODES]
ADDRESSES = [build_record(node, const.A, 0, b"\x0a\0\0\1") for node in NODES]
TEXT = build_record(NODES[0], const.TXT, 0, b"\3a=b")
ALIAS = build_record(NODES[0], const.CNAME, 0, from_text("example.com"))


@pytest.mark.parametrize(
    ("what", "where", "qtype", "message", "room"),
    [
        ("an address", FAR, const.A, made(address(1)), 16),
        ("an IPv6 address", FAR, const.AAAA, made(address(1)), 28),
        ("whatever it is", FAR, const.ANY, made(address(1)), 301),
    ],
)
def test_what_has_room_for_one_more_was_not_cut(
    what: str, where: Upstream, qtype: int, message: Message, room: int
) -> None:
    """Of 1,232 octets Consul may leave 32 empty, and what one more answer takes."""
    for size, cut in ((1200 - room, False), (1201 - room, True)):
        message.size = size
        assert ask(qtype=qtype).cut(where, message) is cut, what


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("an alias, which brings others along", made(ALIAS)),
        ("names in full", made(address(1, owner=from_text("elsewhere.example")))),
    ],
)
def test_where_what_one_more_takes_is_not_known_half_is_trusted(
    what: str, message: Message
) -> None:
    for size, cut in ((616, False), (617, True)):
        message.size = size
        assert ask().cut(FAR, message) is cut, what


# Where, how many SRV, what is beside them, octets -> cut?
SRV_CUTS: dict[str, tuple[Upstream, int, list[bytes], int, bool]] = {
    "none": (FAR, 0, [], 100, False),
    "one": (FAR, 1, ADDRESSES[:1], 100, True),
    "one, and its node's text": (FAR, 1, [ADDRESSES[0], TEXT], 100, False),
    "as large as can be": (FAR, 2, [*ADDRESSES[:2], TEXT], 1232, False),
    "another name's text in place of an address": (FAR, 2, [ADDRESSES[1], TEXT], 200, True),
    "an alias of the target": (FAR, 1, [ALIAS, ADDRESSES[1]], 100, True),
    "on the host": (LOCAL, 1, ADDRESSES[:1], 100, False),
    "on the host, 60": (LOCAL, 60, ADDRESSES[:60], 2536, False),
    "on the host, 60, one octet more": (LOCAL, 60, ADDRESSES[:60], 2537, True),
    "on the host, 60, and a text": (LOCAL, 60, [*ADDRESSES[:60], TEXT], 65000, False),
}


@pytest.mark.parametrize("what", SRV_CUTS)
def test_texts_beside_srv_records_prove_that_none_is_missing(what: str) -> None:
    """Consul takes them out with the first answer that does not fit for them."""
    where, count, beside, size, cut = SRV_CUTS[what]
    message = made(*SERVERS[:count], beside=tuple(beside), size=size)
    assert ask(qtype=const.SRV).cut(where, message) is cut


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("10.1.255.255", True),
        ("10.2.0.0", False),
        ("::1", True),
        ("::2", False),
        ("fe80::1%eth0", True),
        ("::ffff:10.1.0.1", True),
        ("::ffff:10.2.0.1", False),
    ],
)
def test_access(host: str, allowed: bool) -> None:
    networks = ["127.0.0.0/8", "10.1.0.0/16", "::1/128", "fe80::/10"]
    access = Access([ip_network(network) for network in networks])
    assert [access.allows(host), access.allows(host)] == [allowed, allowed]
    assert (host in access.seen) is allowed


def test_nobody_is_allowed_without_networks() -> None:
    assert not Access([]).allows("127.0.0.1")


def test_clients_remembered_are_bounded() -> None:
    access = Access([ip_network("10.0.0.0/8")])
    for number in range(MAX_SEEN + 1):
        assert access.allows(f"10.0.{number >> 8}.{number & 255}")
    assert len(access.seen) == 1
    assert access.allows("10.0.0.0")
