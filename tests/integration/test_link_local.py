"""Addresses that count on one interface only (RFC 4007): asked, and listened on.

Needs root, for network namespaces. Both ends of a cable, `lan` and `far`, are in one of them: an
address on `far` is reached by `lan` alone.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from consulfwd.config import Agent, Endpoint
from consulfwd.consul.client import Client
from consulfwd.core.upstreams import NO_INTERFACE
from consulfwd.errors import ConsulError
from consulfwd.kept import Kept
from consulfwd.net.binding import bind_all
from consulfwd.net.host import own_addresses, recursors_from
from consulfwd.notify import Notifier
from consulfwd.server import Server
from tests.integration.namespaces import FAR, NEAR, Host, cable
from tests.net.conftest import TLS_NAME
from tests.net.conftest import certificate as certificate
from tests.net.conftest import tls as tls
from tests.net.conftest import trusted as trusted
from tests.net.recursor import Recursor
from tests.net.world import ask, nothing_left_behind, settings, until

WWW, WEB = "www.corp.test", "web.service.consul"
RECORDS = {
    (WWW, "A"): ["A 192.0.2.1"],
    (WEB, "A"): ["A 192.0.2.2"],
    ("consul.service.consul", "A"): ["A 192.0.2.3"],
}


@pytest.fixture
def alone() -> Iterator[Host]:
    """A host of our own, in which the test runs."""
    host = Host("us")
    with host.inside():
        yield host
    host.close()


@pytest.fixture
def host(alone: Host) -> Host:
    """The same, with a cable."""
    cable(alone)
    return alone


def recursor(**how: Any) -> Recursor:
    made = Recursor(RECORDS, host=f"{FAR}%far", **how)
    made.port = 53
    return made


def number(interface: str) -> int:
    return socket.if_nametoindex(interface)


async def answered(name: str, **sections: Any) -> list[str]:
    """What a server with these settings answers; it logs no error and leaves nothing behind."""
    async with nothing_left_behind():
        server = Server(settings(None, **sections))
        await server.start()
        try:
            return (await ask(server.endpoints[0], name)).data
        finally:
            await server.stop()


@pytest.mark.parametrize("cut", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("how", ["recursors", "a port", "a number", "forward", "resolv.conf"])
async def test_a_recursor_there_is_asked(how: str, cut: bool, host: Host, tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(f"# from a router's advertisement (RFC 8106)\nnameserver {FAR}%lan\n")
    every: dict[str, dict[str, Any]] = {
        "recursors": {"recursors": [f"{FAR}%lan"]},
        "a port": {"recursors": [f"[{FAR}%lan]:53"]},
        "a number": {"recursors": [f"{FAR}%{number('lan')}"]},
        "forward": {"recursors": ["192.0.2.9"], "forward": {"corp.test": [f"{FAR}%lan"]}},
        "resolv.conf": {"resolv_conf": str(file)},
    }
    async with recursor() as far:
        far.truncate = cut
        assert await answered(WWW, **every[how]) == ["192.0.2.1"]
        assert [one.transport for one in far.asked if one.name == f"{WWW}."] == (
            ["udp", "tcp"] if cut else ["udp"]
        )


@pytest.mark.usefixtures("trusted")
async def test_a_recursor_there_is_asked_over_tls(host: Host, tls: ssl.SSLContext) -> None:
    async with recursor(tls=tls) as far:
        place = f"tls://[{FAR}%lan]:{far.tls_port}#{TLS_NAME}"
        assert await answered(WWW, recursors=[place]) == ["192.0.2.1"]
        assert {one.transport for one in far.asked} == {"tls"}


@pytest.mark.parametrize("cut", [False, True], ids=["udp", "tcp"])
async def test_an_agent_there_is_asked(cut: bool, host: Host) -> None:
    async with recursor() as far:
        far.truncate = cut
        agents = [{"address": f"{FAR}%lan", "dns_port": 53}]
        assert await answered(WEB, consul={"agents": agents}) == ["192.0.2.2"]


async def test_the_other_interface_does_not_lead_there(host: Host) -> None:
    host.ip("link add other type veth peer name end", "link set other up", "link set end up")
    async with recursor() as far:
        assert await answered(WWW, recursors=[f"{FAR}%other"], query={"deadline": 0.5}) == []
        assert far.asked == []


async def test_an_interface_that_comes_later(
    alone: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place = f"[{FAR}%lan]:53"
    async with nothing_left_behind():
        server = Server(settings(None, recursors=[place]))
        await server.start()
        try:
            at = server.endpoints[0]
            for _ in range(3):
                reply = await ask(at, WWW)
                assert (reply.rcode, reply.ede) == ("SERVFAIL", [(23, f"{place}: {NO_INTERFACE}")])
            (down,) = (one for one in caplog.messages if f"{place} is down" in one)
            assert down.startswith(f"recursor {place} is down, was up for ")
            assert down.endswith(f": {NO_INTERFACE}; no other is up")
            cable(alone)
            async with recursor():
                (upstream,) = (one for one in server.engine.upstreams() if one.name == place)
                await until(lambda: upstream.up)
                assert (await ask(at, WWW)).data == ["192.0.2.1"]
        finally:
            await server.stop()


async def test_an_interface_that_comes_later_over_tls(alone: Host) -> None:
    place = f"tls://[{FAR}%lan]#{TLS_NAME}"
    async with nothing_left_behind():
        server = Server(settings(None, recursors=[place]))
        await server.start()
        try:
            reply = await ask(server.endpoints[0], WWW)
        finally:
            await server.stop()
    assert reply.rcode == "SERVFAIL"
    assert reply.ede == [(23, f"{place}: TCP: {NO_INTERFACE}")]


async def test_consuls_http_is_asked_there(host: Host) -> None:
    heard = []

    async def leader(request: web.Request) -> web.Response:
        heard.append(request.headers["Host"])
        return web.json_response("10.0.0.1:8300")

    app = web.Application()
    app.router.add_get("/v1/status/leader", leader)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, f"{FAR}%far", 8500).start()
    client = Client(Agent(address=f"{FAR}%lan"))
    try:
        assert (await client.get("/v1/status/leader", timeout=5)).body == b'"10.0.0.1:8300"'
    finally:
        await client.close()
        await runner.cleanup()
    # Which interface leads there is nobody else's business.
    assert heard == [f"[{FAR}]:8500"]


async def test_consuls_http_where_the_interface_is_not_there(alone: Host) -> None:
    client = Client(Agent(address=f"{FAR}%lan"))
    with pytest.raises(ConsulError, match=NO_INTERFACE):
        await client.get("/v1/status/leader", timeout=5)
    await client.close()


async def test_consuls_https_is_verified_by_the_address_alone(host: Host, tmp_path: Path) -> None:
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", "/CN=agent", "-addext", f"subjectAltName=IP:{FAR}"),
        *("-addext", usage, "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def leader(request: web.Request) -> web.Response:
        return web.json_response("10.0.0.1:8300")

    app = web.Application()
    app.router.add_get("/v1/status/leader", leader)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, f"{FAR}%far", 8501, ssl_context=context).start()
    ca_file = tmp_path / "cert"
    agent = Agent(address=f"{FAR}%lan", http_port=8501, http_scheme="https", ca_file=ca_file)
    client = Client(agent)
    try:
        assert (await client.get("/v1/status/leader", timeout=5)).body == b'"10.0.0.1:8300"'
    finally:
        await client.close()
        await runner.cleanup()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("listen", [f"[{NEAR}%lan]:53", "[::]:53"])
async def test_it_is_listened_on(listen: str, tcp: bool, host: Host) -> None:
    async with nothing_left_behind():
        server = Server(settings(None, listen=[listen]))
        await server.start()
        try:
            # From the other end of the cable, by the unset `access.allow`.
            at = Endpoint(host=f"{NEAR}%far", port=53)
            reply = await ask(at, "localhost", tcp=tcp, source=f"{FAR}%far" if tcp else None)
            assert (reply.rcode, reply.data) == ("NOERROR", ["127.0.0.1"])
        finally:
            await server.stop()


def test_it_is_handed_to_the_next_process(host: Host) -> None:
    endpoint = Endpoint(host=f"{NEAR}%lan", port=5399)
    (pair,) = bind_all([endpoint]).pairs.values()
    with pair[0], pair[1]:
        assert {sock.getsockname()[3] for sock in pair} == {number("lan")}
        assert Kept(Notifier(), pair).bind([endpoint]) == ({endpoint: pair}, {})


def test_it_is_not_taken_for_one_of_an_interface_that_is_gone(host: Host) -> None:
    endpoint = Endpoint(host=f"{NEAR}%lan", port=5399)
    (pair,) = bind_all([endpoint]).pairs.values()
    host.ip("link del lan")
    bound = Kept(Notifier(), pair).bind([endpoint])
    assert (bound.pairs, [*bound.missing]) == ({}, [endpoint])
    assert [sock.fileno() for sock in pair] == [-1, -1]


async def test_it_is_listened_on_when_its_interface_comes_and_comes_again(
    alone: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    monkeypatch.setattr("consulfwd.net.listening.SOON", 0.05)
    caplog.set_level("INFO")
    place = Endpoint(host=f"{NEAR}%lan", port=53)
    asked = Endpoint(host=f"{NEAR}%far", port=53)
    async with nothing_left_behind():
        server = Server(settings(None, listen=["127.0.0.1:53", f"[{NEAR}%lan]:53"]))
        await server.start()
        try:
            assert f"cannot listen on {place}: {NO_INTERFACE} (it is tried again)" in caplog.text
            came = f"listening on {place} too: it was missing for "
            went = f"{place} is gone with its interface"
            for _ in range(2):
                caplog.clear()
                cable(alone)
                await until(lambda: place in server.endpoints and came in caplog.text)
                # Whoever is on that network may ask, though it was not there at the start.
                assert (await ask(asked, "localhost")).data == ["127.0.0.1"]
                alone.ip("link del lan")
                await until(lambda: place not in server.endpoints and went in caplog.text)
                assert (await ask(server.endpoints[0], "localhost")).data == ["127.0.0.1"]
        finally:
            await server.stop()


def test_own_addresses_have_their_interface(host: Host) -> None:
    own = own_addresses()
    assert {f"{NEAR}%lan", f"{FAR}%far"} <= {*own}
    everywhere = [Endpoint(host="::", port=53)]
    for near in (f"{NEAR}%lan", f"{NEAR}%{number('lan')}"):
        assert recursors_from(f"nameserver {near}\n", everywhere, own) == []
        there = [Endpoint(host=f"{NEAR}%lan", port=53)]
        assert recursors_from(f"nameserver {near}\n", there, own) == []
        (other,) = recursors_from(f"nameserver {near}\n", [], own)
        assert ip_address(other.address) == ip_address(near)
    # The same address on another link is another host's.
    (other,) = recursors_from(f"nameserver {NEAR}%far\n", everywhere, own)
    assert other.address == f"{NEAR}%far"
