"""Clients that send a cookie (RFC 7873): each reply has theirs, a right one lifts the limits."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from consulfwd.config import Endpoint
from consulfwd.config.cookie_secrets import parse_secrets
from consulfwd.core.cookies import server_cookie
from consulfwd.errors import StartError
from tests.net.messages import question
from tests.net.world import TcpClient, UdpClient, World, settings, until, world

NAME = "galeradb.service.consul"
CLIENT = b"\1" * 8
ON = {"enabled": True}
FEW = {"per_client": 1, "per_network": 1, "burst": 1, "own_host": True}
LOCALHOST = bytes((127, 0, 0, 1))


def asking(cookie: bytes | None, name: str = NAME, edns: int = 1232) -> bytes:
    options = []
    if cookie is not None:
        options.append(dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie))
    return question(name, edns=edns, options=options)


def cookie_in(reply: dns.message.Message) -> bytes:
    found = [one.to_wire() for one in reply.options if one.otype == dns.edns.OptionType.COOKIE]
    assert len(found) <= 1
    return found[0] or b"" if found else b""


async def told(client: UdpClient | TcpClient, packet: bytes) -> tuple[str, bytes]:
    """The rcode of a reply and its cookie."""
    client.send(packet)
    reply = dns.message.from_wire(await client.receive())
    assert reply.id == int.from_bytes(packet[:2], "big")
    return dns.rcode.to_text(reply.rcode()), cookie_in(reply)


async def first(client: UdpClient | TcpClient) -> bytes:
    rcode, cookie = await told(client, asking(CLIENT))
    assert rcode == "NOERROR"
    assert cookie[:8] == CLIENT
    assert len(cookie) == 24
    return cookie


async def test_whatever_the_answer_is_it_has_the_cookie() -> None:
    async with world(cookies=ON, query={"deadline": 0.2}) as here, here.udp() as client:
        mine = await first(client)
        names = (NAME, "localhost", "none.service.consul", "outside.example")
        rcodes = [await told(client, asking(mine, name)) for name in names]
        assert rcodes == [
            ("NOERROR", mine), ("NOERROR", mine), ("NXDOMAIN", mine), ("SERVFAIL", mine)
        ]  # fmt: skip
        assert await told(client, asking(None)) == ("NOERROR", b"")
        counters = here.counters
        assert (counters.cookies, counters.right_cookies, counters.wrong_cookies) == (5, 4, 0)


async def test_over_tcp_it_is_the_same() -> None:
    async with world(cookies=ON) as here, here.tcp() as client, here.udp() as other:
        mine = await first(client)
        assert await told(client, asking(mine)) == ("NOERROR", mine)
        assert await told(other, asking(mine, "none.service.consul")) == ("NXDOMAIN", mine)
        for wrong in (b"short", bytes(300)):
            assert (await told(client, asking(wrong)))[0] == "FORMERR"
        for wrong in (b"short", bytes(300)):
            assert (await told(other, asking(wrong)))[0] == "FORMERR"


async def test_all_who_ask_the_same_share_what_is_ready() -> None:
    async with world(cookies=ON) as here, here.udp() as client:
        here.cluster.dns.service_ttl = 60
        mine = await first(client)
        asks = len(here.engine.asks)
        for _ in range(3):
            assert await told(client, asking(mine)) == ("NOERROR", mine)
        hot = here.counters.hot
        for number in range(2, 6):
            other = bytes((number,)) * 8
            rcode, cookie = await told(client, asking(other))
            assert (rcode, cookie[:8]) == ("NOERROR", other)
        assert here.counters.hot - hot == 4
        assert len(here.engine.asks) == asks


async def test_what_is_known_is_known_whoever_shows_a_cookie() -> None:
    async with world(cookies=ON) as here, here.udp() as client:
        here.cluster.dns.service_ttl = 60
        mine = await first(client)
        ((listener, _),) = here.server._listening.listeners.values()
        assert not listener._is_new(asking(mine)[2:])
        assert not listener._is_new(asking(b"\5" * 8)[2:])
        assert listener._is_new(asking(mine, "none.service.consul")[2:])
        assert listener._is_new(asking(b"short")[2:])


async def test_a_query_without_a_question_asks_for_a_cookie() -> None:
    async with world(cookies=ON) as here, here.udp() as client, here.tcp() as other:
        whole = dns.message.Message(id=7)
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, CLIENT)
        whole.use_edns(0, payload=1232, options=[option])
        for one in (client, other):
            rcode, cookie = await told(one, whole.to_wire())
            assert (rcode, cookie[:8], len(cookie)) == ("NOERROR", CLIENT, 24)


async def test_by_themselves_clients_on_loopback_get_none() -> None:
    async with world() as here, here.udp() as client, here.tcp() as other:
        for one in (client, other):
            assert await told(one, asking(CLIENT)) == ("NOERROR", b"")
        assert here.engine.jar.serves("192.0.2.1")
        assert not here.engine.jar.serves("127.0.0.2")
        assert not here.engine.jar.serves("::1")


async def test_what_settings_say_holds_from_a_reload_on(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("00" * 16 + "  # this month's\n" + bytes(range(16)).hex() + "\n")
    async with world(cookies={"enabled": False}) as here, here.udp() as client:
        assert await told(client, asking(CLIENT)) == ("NOERROR", b"")
        with_file = {"enabled": True, "secret_file": str(file)}
        await here.server.reload(settings(here.cluster, cookies=with_file))
        now = here.engine.clock.wall()
        old = server_cookie(bytes(range(16)), LOCALHOST, CLIENT, now)
        rcode, mine = await told(client, asking(old))
        assert rcode == "NOERROR"
        assert mine != old
        assert here.counters.right_cookies == 1
        made_at = int.from_bytes(mine[12:16], "big")
        assert mine == server_cookie(bytes(16), LOCALHOST, CLIENT, made_at)
        file.write_text("nonsense\n")
        with pytest.raises(StartError, match="line 1 is no secret"):
            await here.server.reload(settings(here.cluster, cookies=with_file))
        assert await told(client, asking(mine)) == ("NOERROR", mine)
        await here.server.reload(settings(here.cluster, cookies={"enabled": False}))
        assert await told(client, asking(mine)) == ("NOERROR", b"")


async def test_our_own_secret_is_replaced_and_reloads_keep_it() -> None:
    async with world(cookies=ON) as here, here.udp() as client:
        mine = await first(client)
        await here.server.reload(settings(here.cluster, cookies=ON))
        assert await told(client, asking(mine)) == ("NOERROR", mine)
        secrets = here.engine.jar._cookies.secrets
        here.leap(86_401)
        here.tick()
        assert here.engine.jar._cookies.secrets[1:] == secrets


async def flood(here: World, client: UdpClient, packet: bytes, count: int = 20) -> list[bytes]:
    """What so many queries get that are sent at once."""
    for _ in range(count):
        client.send(packet)
    found: list[bytes] = []
    while len(found) < count:
        try:
            found.append(await client.receive(0.1))
        except AssertionError:
            break
    return found


async def test_a_right_cookie_lifts_the_limit() -> None:
    async with world(cookies=ON, limits=FEW) as here, here.udp() as client:
        mine = await first(client)
        got = await flood(here, client, asking(mine))
        assert len(got) == 20
        assert {len(dns.message.from_wire(one).answer) for one in got} == {1}
        assert here.counters.limited == 0


@pytest.mark.parametrize("cookie", [None, CLIENT, CLIENT + b"\1\0\0\0" + bytes(12)])
async def test_without_one_nobody_gets_more_than_was_sent(cookie: bytes | None) -> None:
    async with world(cookies=ON, limits=FEW) as here, here.udp() as client:
        await told(client, asking(cookie))
        packet = asking(cookie)
        got = await flood(here, client, packet)
        # A client that asks at leisure is answered: what its bucket holds comes first.
        assert here.counters.limited >= 18
        less = [one for one in got if len(one) <= len(packet)]
        assert len(less) == here.counters.slipped == here.counters.limited
        assert not any(dns.message.from_wire(one).answer for one in less)


async def test_who_has_an_old_cookie_is_told_a_new_one_and_goes_on() -> None:
    async with world(cookies=ON, limits=FEW) as here, here.udp() as client:
        old = server_cookie(bytes(16), LOCALHOST, CLIENT, 0)
        await flood(here, client, asking(old), 5)
        rcode, mine = await told(client, asking(old))
        assert rcode == "BADCOOKIE"
        assert await told(client, asking(mine)) == ("NOERROR", mine)


async def test_who_has_none_gets_it_over_tcp_and_goes_on() -> None:
    async with world(cookies=ON, limits=FEW) as here, here.udp() as client, here.tcp() as other:
        await flood(here, client, asking(CLIENT), 5)
        client.send(asking(CLIENT))
        assert dns.message.from_wire(await client.receive()).flags & dns.flags.TC
        mine = await first(other)
        assert await told(client, asking(mine)) == ("NOERROR", mine)


def test_the_file_is_read_strictly() -> None:
    one, two = b"00" * 16, b"Ff" * 16
    assert parse_secrets(one) == (bytes(16),)
    assert parse_secrets(b"# a\n\n" + one + b" # b\r\n" + two + b"\n") == (bytes(16), b"\xff" * 16)
    for wrong in (b"", b"# none\n", one[:-1], one + b"0", b"0x" + one[2:], (one + b"\n") * 5,
                  b"\xff\xfe", one + b"\n" + b" " * 5000):  # fmt: skip
        with pytest.raises(ValueError, match=r"holds|no secret|longer"):
            parse_secrets(wrong)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "[::1]:0"])
async def test_at_all_addresses_and_over_ipv6(listen: str) -> None:
    async with world(cookies=ON, listen=[listen]) as here:
        host = "127.0.0.1" if listen[0] == "0" else "::1"
        at = Endpoint(host=host, port=here.at.port)
        async with UdpClient(at) as client, TcpClient(at) as other:
            mine = await first(client)
            for one in (client, other):
                for _ in range(3):
                    assert await told(one, asking(mine)) == ("NOERROR", mine)
            packed = ip_address(host).packed
            made_at = int.from_bytes(mine[12:16], "big")
            (secret,) = here.engine.jar._cookies.secrets
            assert mine == server_cookie(secret, packed, CLIENT, made_at)


async def test_queries_that_are_noted_have_theirs(tmp_path: Path) -> None:
    file = tmp_path / "queries"
    log: dict[str, Any] = {"log": {"queries": True}, "querylog": {"file": str(file)}}
    async with world(cookies=ON, **log) as here, here.udp() as client, here.tcp() as other:
        here.cluster.dns.service_ttl = 60
        mine = await first(client)
        for one in (client, other):
            for _ in range(3):
                assert await told(one, asking(mine)) == ("NOERROR", mine)
        await until(lambda: file.exists() and len(file.read_text().splitlines()) == 7)
        lines = file.read_text().splitlines()
        assert [", hot" in one or "hot," in one for one in lines].count(True) >= 1
