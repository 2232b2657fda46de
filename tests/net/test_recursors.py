"""Recursors: ports and IDs nobody can guess, TCP on truncation, TLS, and following resolv.conf."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from consulfwd.config import Endpoint
from consulfwd.config import Recursor as Configured
from consulfwd.core.health import Health
from consulfwd.core.states import State
from consulfwd.net import channels
from consulfwd.net.channel import random_ids
from consulfwd.net.host import ResolvConf, recursors_from
from consulfwd.net.routing import build_routes
from tests.loopback import OWN
from tests.net.conftest import TLS_NAME
from tests.net.messages import parse, question
from tests.net.recursor import KEEPALIVE, Recursor
from tests.net.world import World, names_of, settings, until, world

WWW = {("www.test", "A"): ["A 192.0.2.1"], ("www.test", "AAAA"): ["AAAA 2001:db8::1"]}
MANY = {(f"n{number}.test", "A"): [f"A 192.0.2.{number}"] for number in range(60)}


def off_host(here: World) -> None:
    """Take the recursors for servers elsewhere: loopback ones need no random ports."""
    for upstream in here.engine.upstreams():
        if not upstream.is_agent:
            upstream.on_host = False


async def test_every_query_has_a_port_and_an_id_of_its_own() -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here, here.udp() as client:
        off_host(here)
        for number, name in enumerate(names_of("n", 60)):
            client.send(question(f"{name}.test", ident=number))
        replies = [parse(await client.receive()) for _ in range(60)]
        assert sorted((one.id, *one.data) for one in replies) == [
            (number, f"192.0.2.{number}") for number in range(60)
        ]
        ports, ids = {one.port for one in recursor.asked}, {one.id for one in recursor.asked}
        # All were in flight at once, so that no port could be had twice; an ID might, by chance.
        assert (len(ports), len(ids) > 55) == (60, True)
        steps = {b - a for a, b in zip(sorted(ids), sorted(ids)[1:], strict=False)}
        assert len(steps) > 20


async def test_agents_elsewhere_are_asked_from_a_port_of_its_own_for_every_query() -> None:
    records = {(f"n{number}.service.consul", "A"): ["A 192.0.2.1"] for number in range(60)}
    async with Recursor(records) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=2.0) as here, here.udp() as client:
            for upstream in here.engine.upstreams():
                upstream.on_host = False
            # The probe at the start went to a server on this host.
            here.engine.channels.retain(set())
            for number, name in enumerate(names_of("n", 60)):
                client.send(question(f"{name}.service.consul", ident=number))
            for _ in range(60):
                assert parse(await client.receive()).data == ["192.0.2.1"]
            assert len({one.port for one in agent.asked if one.name.startswith("n")}) == 60


@pytest.mark.parametrize(
    ("address", "on_host"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)),
        *(("10.0.0.11", False), ("192.168.1.1", False), ("169.254.1.1", False)),
        *(("9.9.9.9", False), ("fd00::1", False), ("::ffff:10.0.0.1", False)),
    ],
)
def test_only_loopback_addresses_are_on_this_host(address: str, on_host: bool) -> None:
    """Whoever else answers there has to guess a port first."""
    named = Configured(address=address, port=5353)
    agents = {"agents": [{"address": address}]}
    found = settings(None, consul=agents, forward={"test": [named.name]})
    routes = build_routes(found, [named], Health())
    reached = {upstream for route in routes for group in route.groups for upstream in group.members}
    assert {one.is_agent for one in reached} == {True, False}
    assert {one.on_host for one in reached} == {on_host}


def test_no_id_follows_from_earlier_ones() -> None:
    found = [int.from_bytes(one, "big") for one in islice(random_ids(), 8192)]
    # Of so many, chance repeats one in 17; a counter none, a block used again nearly all.
    assert 7400 < len(set(found)) < 7950
    steps = {(after - before) % 65536 for before, after in pairwise(found)}
    assert 7400 < len(steps) < 7950


@pytest.mark.parametrize("where", ["off host", "on host"])
async def test_upstreams_on_ipv6(where: str) -> None:
    records = {**WWW, ("web.service.consul", "A"): ["A 192.0.2.7"]}
    async with Recursor(records, host="::1") as both:
        consul = {"agents": [{"address": "::1", "dns_port": both.port}]}
        async with world(both, consul=consul, agents=1) as here:
            if where == "off host":
                off_host(here)
            for qtype, data in (("A", "192.0.2.1"), ("AAAA", "2001:db8::1")):
                assert (await here.ask("www.test", qtype)).data == [data]
            assert (await here.ask("web.service.consul")).data == ["192.0.2.7"]


def forgeries(query: dns.message.Message) -> list[bytes]:
    """Return what an attacker would send ahead: one with a wrong ID, one to another question."""
    poison = dns.message.make_response(query)
    name = str(query.question[0].name)
    poison.answer = [dns.rrset.from_text(name, 3600, "IN", "A", "192.0.2.66")]
    wrong_id = dns.message.from_wire(poison.to_wire())
    wrong_id.id = query.id ^ 1
    other = dns.message.make_query("other.test", "A", id=query.id)
    other.flags |= dns.flags.QR
    other.answer = [dns.rrset.from_text("other.test.", 3600, "IN", "A", "192.0.2.66")]
    return [wrong_id.to_wire(), other.to_wire(), b"", b"\0", poison.to_wire()[:20]]


@pytest.mark.parametrize("where", ["off host", "on host"])
async def test_forged_replies_ahead_of_the_real_one_are_ignored(where: str) -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here:
        if where == "off host":
            off_host(here)
        recursor.forge = forgeries
        for number in range(10):
            assert (await here.ask(f"n{number}.test")).data == [f"192.0.2.{number}"]
        assert here.counters.failed == 0


async def test_who_knows_port_and_id_still_has_to_answer_from_the_address_asked() -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here:
        off_host(here)
        with socket.socket(type=socket.SOCK_DGRAM) as elsewhere:

            def forge(query: dns.message.Message) -> list[bytes]:
                poison = dns.message.make_response(query)
                name = str(query.question[0].name)
                poison.answer = [dns.rrset.from_text(name, 3600, "IN", "A", "192.0.2.66")]
                elsewhere.sendto(poison.to_wire(), ("127.0.0.1", recursor.asked[-1].port))
                return []

            recursor.forge = forge
            for number in range(10):
                assert (await here.ask(f"n{number}.test")).data == [f"192.0.2.{number}"]


async def test_a_truncated_reply_is_asked_again_over_tcp() -> None:
    big = {("big.test", "TXT"): [f'TXT "{number:03d}{"x" * 200}"' for number in range(20)]}
    async with Recursor(big) as recursor, world(recursor) as here:
        recursor.truncate = True
        whole = await here.ask("big.test", "TXT", tcp=True)
        assert (len(whole.answers), "tc" in whole.flags) == (20, False)
        assert "tc" in (await here.ask("big.test", "TXT")).flags
        assert [one.transport for one in recursor.asked] == ["udp", "tcp"]


@pytest.mark.parametrize("wrong", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, None])
async def test_the_next_recursor_is_asked(wrong: dns.rcode.Rcode | None) -> None:
    async with Recursor(WWW) as first, Recursor(WWW) as second, world(first, second) as here:
        if wrong is None:
            await first.stop()
        else:
            first.rcodes["www.test."] = wrong
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        assert (len(first.asked), len(second.asked)) == (0 if wrong is None else 1, 1)


async def test_a_silent_recursor_does_not_keep_anyone_waiting() -> None:
    async with Recursor(WWW) as first, Recursor(WWW) as second, world(first, second) as here:
        first.silent = True
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        assert len(second.asked) == 1


async def test_servfail_is_passed_on_with_a_reason_when_all_fail() -> None:
    async with Recursor() as recursor, world(recursor) as here:
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        reply = await here.ask("www.test")
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("SERVFAIL", [22])


def over_tls(recursor: Recursor, name: str) -> list[str]:
    return [f"tls://{OWN}:{recursor.tls_port}#{name}"]


@pytest.mark.usefixtures("trusted")
async def test_over_tls(tls: ssl.SSLContext) -> None:
    async with Recursor(MANY, tls=tls) as recursor:
        async with world(recursors=over_tls(recursor, TLS_NAME)) as here, here.udp() as client:
            for number in range(40):
                client.send(question(f"n{number}.test", ident=number))
            replies = [parse(await client.receive()) for _ in range(40)]
            assert sorted((one.id, *one.data) for one in replies) == [
                (number, f"192.0.2.{number}") for number in range(40)
            ]
        # One connection carries them all.
        assert {one.transport for one in recursor.asked} == {"tls"}
        assert len({one.port for one in recursor.asked}) == 1


async def refused_over_tls(recursor: Recursor, name: str) -> str:
    async with world(recursors=over_tls(recursor, name), query={"deadline": 1.0}) as here:
        reply = await here.ask("www.test")
        assert (reply.rcode, recursor.asked) == ("SERVFAIL", [])
        ((_, text),) = reply.ede
        return text


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_refused(tls: ssl.SSLContext) -> None:
    async with Recursor(WWW, tls=tls) as recursor:
        text = await refused_over_tls(recursor, "other.example.test")
        assert "certificate refused: Hostname mismatch" in text


async def test_a_certificate_nobody_here_trusts_is_refused(tls: ssl.SSLContext) -> None:
    async with Recursor(WWW, tls=tls) as recursor:
        assert "certificate refused: self" in await refused_over_tls(recursor, TLS_NAME)


async def test_a_server_that_speaks_no_tls_is_refused() -> None:
    async with Recursor(WWW) as recursor:
        # What it says to a handshake is no TLS: the reason is not taken for one of the system's.

        def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            writer.close()

        async with await asyncio.start_server(greet, OWN, 0) as other:
            recursor.tls_port = other.sockets[0].getsockname()[1]
            text = await refused_over_tls(recursor, TLS_NAME)
        assert "TLS: " in text
        assert "not permitted" not in text


@pytest.mark.usefixtures("trusted")
async def test_a_broken_tls_connection_is_opened_again(tls: ssl.SSLContext) -> None:
    async with (
        Recursor(MANY, tls=tls) as recursor,
        world(recursors=over_tls(recursor, TLS_NAME)) as here,
    ):
        assert (await here.ask("n1.test")).data == ["192.0.2.1"]
        await recursor.stop()
        await recursor.start()
        assert (await here.ask("n2.test")).data == ["192.0.2.2"]
        assert len({one.port for one in recursor.asked}) == 2


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_server_that_knows_no_edns(rcode: dns.rcode.Rcode, elsewhere: bool) -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here:
        recursor.no_edns = rcode
        if elsewhere:
            off_host(here)
        assert (await here.ask("n1.test")).data == ["192.0.2.1"]
        assert recursor.names == ["n1.test."] * 2
        # That is remembered, ...
        assert (await here.ask("n2.test")).data == ["192.0.2.2"]
        assert (await here.ask("n3.test", edns=None)).data == ["192.0.2.3"]
        assert recursor.names[2:] == ["n2.test.", "n3.test."]


async def test_an_error_that_is_not_about_edns_leaves_it() -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here:
        recursor.no_edns = dns.rcode.FORMERR
        recursor.rcodes["n1.test."] = dns.rcode.SERVFAIL
        assert (await here.ask("n1.test")).rcode == "SERVFAIL"
        recursor.no_edns = None
        (upstream,) = (one for one in here.engine.upstreams() if not one.is_agent)
        assert not upstream.plain


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_what_a_closed_connection_left_is_asked_once_more(
    transport: str, tls: ssl.SSLContext
) -> None:
    """A server that takes half of what is asked at once on each connection, and closes it."""
    async with Recursor(MANY, tls=tls) as recursor:
        recursor.closes_after = 30
        recursor.truncate = transport == "tcp"
        places = [f"{OWN}:{recursor.port}"]
        if transport == "tls":
            places = over_tls(recursor, TLS_NAME)
        async with world(recursors=places) as here, here.udp() as client:
            for number in range(60):
                client.send(question(f"n{number}.test", ident=number))
            replies = [parse(await client.receive()) for _ in range(60)]
            assert sorted((one.id, *one.data) for one in replies) == [
                (number, f"192.0.2.{number}") for number in range(60)
            ]
            (upstream,) = (one for one in here.engine.upstreams() if not one.is_agent)
            assert upstream.up
        streams = [one for one in recursor.asked if one.transport == transport]
        # Queries that come while it closes reset the connection, and with it go the last replies
        # if another is being written just then: these are asked for by a third one.
        assert len({one.port for one in streams}) in (2, 3)
        assert max(Counter(one.name for one in streams).values()) <= 2


@pytest.mark.usefixtures("trusted")
async def test_a_server_that_closes_every_connection_is_one_sign_each(
    tls: ssl.SSLContext,
) -> None:
    async with Recursor(MANY, tls=tls) as recursor:
        recursor.closes_after = 0
        recursors = over_tls(recursor, TLS_NAME)
        async with world(recursors=recursors, query={"deadline": 1.0}) as here:
            (upstream,) = (one for one in here.engine.upstreams() if not one.is_agent)
            async with here.udp() as client:
                for number in range(60):
                    client.send(question(f"n{number}.test", ident=number))
                replies = [parse(await client.receive()) for _ in range(60)]
            assert {one.rcode for one in replies} == {"SERVFAIL"}
            assert upstream.state is not State.DOWN


async def ports(here: World, recursor: Recursor, *pauses: float) -> list[int]:
    """Ask for names with these pauses between them; return how often a connection was begun."""
    begun = []
    for number, pause in enumerate((0, *pauses)):
        here.skip(pause)
        assert (await here.ask(f"n{number}.test")).data == [f"192.0.2.{number}"]
        streams = [one.port for one in recursor.asked if one.transport != "udp"]
        begun.append(len(dict.fromkeys(streams)))
    return begun


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize(
    ("told", "pauses", "begun"),
    [
        (None, (19, 21), [1, 1, 2]),
        (30, (2.9, 3.1, 2.9), [1, 1, 2, 2]),
        (600, (59, 61), [1, 1, 2]),
        (65535, (119, 121), [1, 1, 2]),
        (0, (0, 0), [1, 2, 3]),
    ],
)
async def test_a_connection_is_kept_for_as_long_as_its_server_says(
    told: int | None, pauses: tuple[float, ...], begun: list[int], transport: str,
    tls: ssl.SSLContext,
) -> None:  # fmt: skip
    """RFC 7828; two minutes are the most."""
    async with Recursor(MANY, tls=tls) as recursor:
        recursor.keepalive = told
        recursor.truncate = transport == "tcp"
        places = [f"{OWN}:{recursor.port}"]
        if transport == "tls":
            places = over_tls(recursor, TLS_NAME)
        async with world(recursors=places) as here:
            assert await ports(here, recursor, *pauses) == begun


@pytest.mark.usefixtures("trusted")
async def test_a_connection_that_is_not_to_be_kept_is_closed_behind_the_last_reply(
    tls: ssl.SSLContext,
) -> None:
    async with (
        Recursor(MANY, tls=tls) as recursor,
        world(recursors=over_tls(recursor, TLS_NAME)) as here,
        here.udp() as client,
    ):
        recursor.keepalive = 0
        for number in range(20):
            client.send(question(f"n{number}.test", ident=number))
        for _ in range(20):
            assert parse(await client.receive()).rcode == "NOERROR"
        assert len({one.port for one in recursor.asked}) == 1
        await until(lambda: not recursor._writers)


@pytest.mark.parametrize("knows_edns", [True, False])
async def test_who_is_asked_how_long_a_connection_is_kept(knows_edns: bool) -> None:
    records = {**MANY, ("web.service.consul", "A"): ["A 192.0.2.7"]}
    async with Recursor(records) as recursor, Recursor(records) as agent:
        recursor.truncate = agent.truncate = True
        recursor.keepalive = agent.keepalive = 0
        if not knows_edns:
            recursor.no_edns = dns.rcode.FORMERR
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(recursor, consul=consul, agents=1) as here:
            assert (await here.ask("n1.test")).data == ["192.0.2.1"]
            assert (await here.ask("web.service.consul")).data == ["192.0.2.7"]
        asked = {(one.transport, one.options) for one in recursor.asked if one.name == "n1.test."}
        assert asked == {("udp", ()), ("tcp", (KEEPALIVE,) if knows_edns else ())}
        # Consul says nothing of it, and is not asked.
        assert {one.options for one in agent.asked} == {()}


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
async def test_a_session_is_resumed(version: ssl.TLSVersion, tls: ssl.SSLContext) -> None:
    tls.minimum_version = tls.maximum_version = version
    async with Recursor(MANY, tls=tls) as recursor:
        async with world(recursors=over_tls(recursor, TLS_NAME)) as here:
            assert await ports(here, recursor, 21, 21) == [1, 2, 3]
            assert recursor.resumed == [False, True, True]
            # One that ends the connection does not end the session.
            recursor.closes_after = 1
            assert await ports(here, recursor, 301, 301) == [3, 4, 5]
            assert recursor.resumed == [False, True, True, True, True]
        # Another process knows nothing of it.
        async with world(recursors=over_tls(recursor, TLS_NAME)) as here:
            assert (await here.ask("n1.test")).data == ["192.0.2.1"]
            assert recursor.resumed[5:] == [False]


@pytest.mark.usefixtures("trusted")
async def test_a_session_is_one_servers(tls: ssl.SSLContext) -> None:
    """Two that share their keys would take it for theirs."""
    async with Recursor(MANY, tls=tls) as one, Recursor(MANY, tls=tls) as other:
        places = over_tls(one, TLS_NAME) + over_tls(other, TLS_NAME)
        async with world(recursors=places, query={"deadline": 1.0}) as here:
            assert (await here.ask("n1.test")).data == ["192.0.2.1"]
            one.rcodes["n2.test."] = dns.rcode.SERVFAIL
            assert (await here.ask("n2.test")).data == ["192.0.2.2"]
            assert (one.resumed, other.resumed) == ([False], [False])
            here.skip(21)
            one.rcodes["n3.test."] = dns.rcode.SERVFAIL
            assert (await here.ask("n3.test")).data == ["192.0.2.3"]
            assert (one.resumed, other.resumed) == ([False, True], [False, True])


@pytest.mark.usefixtures("trusted")
async def test_another_name_of_a_server_is_verified(tls: ssl.SSLContext) -> None:
    """Neither the session nor the connection of its name before a reload is used for it."""
    query = {"deadline": 1.0}
    async with (
        Recursor(MANY, tls=tls) as recursor,
        world(recursors=over_tls(recursor, TLS_NAME), query=query) as here,
    ):
        same = {"listen": [str(here.server.settings.listen[0])], "query": query}
        assert (await here.ask("n1.test")).data == ["192.0.2.1"]
        wrong = over_tls(recursor, "other.example.test")
        await here.server.reload(settings(here.cluster, recursors=wrong, **same))
        reply = await here.ask("n2.test")
        assert (reply.rcode, "certificate refused" in reply.ede[0][1]) == ("SERVFAIL", True)
        right = over_tls(recursor, TLS_NAME)
        await here.server.reload(settings(here.cluster, recursors=right, **same))
        assert (await here.ask("n3.test")).data == ["192.0.2.3"]
        here.engine._retain()
        assert len(here.engine.channels._stream) == 1


@pytest.mark.usefixtures("trusted")
async def test_a_session_a_server_does_not_know_any_more(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    async with (
        Recursor(MANY, tls=tls) as recursor,
        world(recursors=over_tls(recursor, TLS_NAME)) as here,
    ):
        assert (await here.ask("n1.test")).data == ["192.0.2.1"]
        await recursor.stop()
        # As after a restart: with other keys for what clients bring back.
        recursor._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        recursor._tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        await recursor.start()
        assert (await here.ask("n2.test")).data == ["192.0.2.2"]
        assert recursor.resumed == [False, False]


CONF = """\
# nameserver 192.0.2.1
; a comment
search example.test
options edns0
nameserver 10.0.0.1
nameserver   10.0.0.2 # behind it
nameserver 10.0.0.1
nameserver 2001:db8::53
nameserver fe80::1%lo
nameserver nonsense
nameserver
nameserver 127.0.0.1
nameserver 127.0.0.53
nameserver ::1
nameserver 10.0.0.9
"""
EVERY = ["10.0.0.1", "10.0.0.2", "2001:db8::53", "127.0.0.1", "127.0.0.53", "::1", "10.0.0.9"]


@pytest.mark.parametrize(
    ("listen", "left_out"),
    [
        ([], []),
        ([("127.0.0.1", 5300)], []),
        ([("127.0.0.1", 53)], ["127.0.0.1"]),
        ([("127.0.0.53", 53), ("::1", 53)], ["127.0.0.53", "::1"]),
        ([("0.0.0.0", 53)], ["127.0.0.1", "127.0.0.53", "10.0.0.9"]),
        ([("::", 53)], ["::1"]),
        ([("10.0.0.9", 53)], ["10.0.0.9"]),
        ([("0.0.0.0", 5300)], []),
    ],
)
def test_resolv_conf_never_leads_to_ourselves(
    listen: list[tuple[str, int]], left_out: list[str]
) -> None:
    listening = [Endpoint(host=host, port=port) for host, port in listen]
    found = recursors_from(CONF, listening, own=["10.0.0.9", "127.0.0.1", "::1"])
    assert [one.address for one in found if "fe80" not in one.address] == [
        address for address in EVERY if address not in left_out
    ]
    assert {(one.port, one.transport) for one in found} == {(53, "udp")}


def test_nameservers_that_nobody_can_ask_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resolv.conf"
    follow = ResolvConf(path, [])
    bad = ["fe80::7", "fe80::7%", "fe80::7%a/b", f"fe80::7%{'x' * 16}", "10.0.0.7%lo"]
    bad += ["224.0.0.1", "255.255.255.255", "ff02::1%lo", "ff02::1"]
    for more in ("", "options rotate\n"):
        path.write_text("".join(f"nameserver {one}\n" for one in [*bad, "10.0.0.1"]) + more)
        follow.changed()
        assert [one.address for one in follow.recursors] == ["10.0.0.1"]
    # The one that could be meant is told, once.
    assert caplog.messages == [f"{path}: fe80::7 is link-local and lacks its interface: not asked"]


def test_interfaces_are_for_link_local_nameservers() -> None:
    lo = socket.if_nametoindex("lo")
    text = f"nameserver 2001:db8::1%lo\nnameserver fe80::7%lo\nnameserver fe80::7%{lo}\n"
    found = recursors_from(text, [], own=[])
    assert [one.address for one in found] == ["2001:db8::1", "fe80::7%lo"]
    ourselves = [Endpoint(host=f"fe80::7%{lo}", port=53)]
    assert [one.address for one in recursors_from(text, ourselves, own=[])] == ["2001:db8::1"]
    everywhere = [Endpoint(host="::", port=53)]
    found = recursors_from(text, everywhere, own=["fe80::7%lo"])
    assert [one.address for one in found] == ["2001:db8::1"]


@pytest.mark.parametrize(("every", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_nameserver_at_no_address_is_this_host(every: str, loopback: str) -> None:
    ourselves = [Endpoint(host=loopback, port=53)]
    assert recursors_from(f"nameserver {every}", ourselves, own=[]) == []
    (other,) = recursors_from(f"nameserver {every}", [], own=[])
    assert other.address == loopback


def test_a_resolv_conf_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    follow = ResolvConf(path, [])
    seen = [follow.changed()]
    for text in ("nameserver 10.0.0.1\n", "# same\nnameserver 10.0.0.1\n", "nameserver 10.0.0.2\n"):
        new = tmp_path / "new"
        new.write_text(text)
        new.replace(path)
        seen += [follow.changed(), follow.changed()]
    path.unlink()
    seen.append(follow.changed())
    assert seen == [False, True, False, False, False, True, False, False]
    assert [one.address for one in follow.recursors] == ["10.0.0.2"]


async def test_resolv_conf_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.2\n")
    async with Recursor(WWW, host="127.0.0.2") as first, Recursor(WWW, host="127.0.0.3") as second:
        ports = {"127.0.0.2": first.port, "127.0.0.3": second.port}

        def on_test_ports(*arguments: object) -> list[Configured]:
            # Nameservers in resolv.conf are at port 53, which tests cannot have.
            found = recursors_from(*arguments)  # type: ignore[arg-type]
            return [one.replace(port=ports[one.address]) for one in found]

        monkeypatch.setattr("consulfwd.net.host.recursors_from", on_test_ports)
        async with world(resolv_conf=str(path)) as here:
            assert (await here.ask("www.test")).data == ["192.0.2.1"]
            assert (len(first.asked), len(second.asked)) == (1, 0)
            path.write_text("# by hand\nnameserver 127.0.0.3\n")
            await until(lambda: "recursors changed" in caplog.text)
            assert (await here.ask("www.test", "AAAA")).data == ["2001:db8::1"]
            assert (len(first.asked), len(second.asked)) == (1, 1)
            path.write_text("# nobody\n")
            await until(lambda: "recursors changed: none" in caplog.text)
            assert caplog.records[-1].levelname == "WARNING"
            assert (await here.ask("other.test")).rcode == "SERVFAIL"
            path.write_text("nameserver 127.0.0.2\n")
            await until(lambda: caplog.text.count("recursors changed") == 3)
            assert (await here.ask("other.test")).rcode == "NXDOMAIN"
    await asyncio.sleep(0)


async def test_slow_names_do_not_hold_on_to_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_SOCKETS", 4)
    async with Recursor(MANY) as recursor, world(recursor, query={"deadline": 0.2}) as here:
        off_host(here)
        recursor.silent = True
        slow = [here.ask(f"n{number}.test") for number in range(4)]
        assert {one.rcode for one in await asyncio.gather(*slow)} == {"SERVFAIL"}
        recursor.silent = False
        # Their sockets could be open for seconds yet.
        for number in range(4, 8):
            assert (await here.ask(f"n{number}.test")).data == [f"192.0.2.{number}"]


async def test_error_replies_leave_no_id_taken() -> None:
    async with Recursor(MANY) as recursor, world(recursor) as here:
        assert (await here.ask("n0.test")).data == ["192.0.2.0"]
        for number in range(1, 20):
            recursor.rcodes[f"n{number}.test."] = dns.rcode.SERVFAIL
            assert (await here.ask(f"n{number}.test")).rcode == "SERVFAIL"
        (way,) = [way for up, way in here.engine.channels._direct.items() if not up.is_agent]
        assert way._pending == {}


async def test_an_upstream_found_gone_while_sending_opens_the_way_to_the_next() -> None:
    async with Recursor(WWW) as first, Recursor(WWW) as second, world(first, second) as here:
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        channels = here.engine.channels
        (one, *_) = [way for up, way in channels._direct.items() if not up.is_agent]
        waiting = asyncio.ensure_future(here.ask("www.test", "AAAA"))
        first.silent = True
        await until(lambda: len(first.asked) == 2)
        await first.stop()
        ways = len(channels._direct)
        one._outbox.append(b"a query nobody takes, to learn it from")
        channels.flush()
        one._outbox.append(b"the kernel tells of the one before")
        channels.flush()
        assert (await waiting).data == ["2001:db8::1"]
        assert len(channels._direct) == ways + 1
