"""Reverse names of private networks: the site's own recursors are asked, public ones are not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from consulfwd.config import Recursor as Configured
from consulfwd.net.host import recursors_from
from tests.net.messages import Reply
from tests.net.recursor import Recursor
from tests.net.world import World, settings, until, world

# As any public resolver, for the tests: the well-known ones cannot be had on loopback.
PUBLIC = "127.0.0.2"
PUBLIC_RESOLVERS: dict[str, Any] = {"public_resolvers": {"also": [PUBLIC]}}
OUT_THERE = "4.3.2.1.in-addr.arpa"
PRIVATE = [
    "4.0.0.10.in-addr.arpa", "9.1.16.172.in-addr.arpa", "1.31.172.in-addr.arpa",
    "7.1.168.192.in-addr.arpa", "1.254.169.in-addr.arpa", "1.0.64.100.in-addr.arpa",
    "1.255.127.100.in-addr.arpa", "1.2.0.0.d.f.ip6.arpa", "0.8.e.f.ip6.arpa",
]  # fmt: skip
# Beside private ones, and not private themselves.
BESIDE = ["1.32.172.in-addr.arpa", "1.63.100.in-addr.arpa", "1.128.100.in-addr.arpa"]
DENIED_HERE = "no such name, said here"


def records(target: str) -> dict[tuple[str, str], list[str]]:
    names = [*PRIVATE, *BESIDE, OUT_THERE]
    return {(name, "PTR"): [f"PTR {target}.example."] for name in names}


@asynccontextmanager
async def own_and_public() -> AsyncIterator[tuple[Recursor, Recursor]]:
    async with Recursor(records("own")) as own, Recursor(records("public"), host=PUBLIC) as public:
        yield own, public


async def told(here: World, name: str) -> str:
    """Who answered a question for a PTR: the first label of the name it gave."""
    return said(await here.ask(name, "PTR"))


def said(reply: Reply) -> str:
    if reply.data:
        return reply.data[0].split(".")[0]
    zones = [record.split()[0] for record in reply.authority]
    here = "aa" in reply.flags and any(zone.endswith(".arpa.") for zone in zones)
    return DENIED_HERE if here and reply.rcode == "NXDOMAIN" else reply.rcode


@pytest.mark.parametrize("first", ["own", "public"])
async def test_only_the_sites_own_recursor_is_asked(first: str) -> None:
    async with own_and_public() as both:
        listed = both if first == "own" else both[::-1]
        async with world(*listed, **PUBLIC_RESOLVERS) as here:
            assert [await told(here, name) for name in PRIVATE] == ["own"] * len(PRIVATE)
            # All other names go to the first in the list, whoever it is.
            assert [await told(here, name) for name in [*BESIDE, OUT_THERE]] == [first] * 4
            passed_on = [f"{one}." for one in [*BESIDE, OUT_THERE]] if first == "public" else []
            assert both[1].names == passed_on


async def test_own_recursors_are_asked_in_order() -> None:
    async with (
        own_and_public() as (own, public),
        Recursor(records("second")) as second,
        world(own, public, second, **PUBLIC_RESOLVERS) as here,
    ):
        assert await told(here, PRIVATE[0]) == "own"
        own.rcodes = {f"{name}.": dns.rcode.SERVFAIL for name in PRIVATE}
        assert await told(here, PRIVATE[1]) == "second"
        second.rcodes = own.rcodes
        # Nobody is left to ask: what a public one says of it is of no use, and it is not told.
        assert await told(here, PRIVATE[2]) == "SERVFAIL"
        assert public.names == []


async def test_where_all_are_public_they_are_answered_here() -> None:
    async with own_and_public() as (_, public), world(public, **PUBLIC_RESOLVERS) as here:
        assert [await told(here, name) for name in PRIVATE] == [DENIED_HERE] * len(PRIVATE)
        assert (public.names, here.counters.upstream) == ([], 3)  # the probes of the agents
        assert [await told(here, name) for name in BESIDE] == ["public"] * len(BESIDE)


async def test_a_well_known_resolver_may_be_the_sites_own() -> None:
    listed: dict[str, Any] = {"public_resolvers": {"also": ["127.0.0.0/8"], "never": [PUBLIC]}}
    async with own_and_public() as (own, public), world(own, public, **listed) as here:
        assert await told(here, PRIVATE[0]) == "public"
        assert own.names == []


async def test_well_known_resolvers_are_public_without_being_named() -> None:
    async with world(recursors=["9.9.9.9", "tls://1.1.1.1#cloudflare-dns.com"]) as here:
        assert [await told(here, name) for name in PRIVATE] == [DENIED_HERE] * len(PRIVATE)
        assert here.counters.upstream == 3


@pytest.mark.parametrize("networks", [["10.0.0.0/8"], ["10.0.0.0/24"], ["0.0.0.0/0"]])
async def test_names_consul_does_not_know_go_on_to_the_own_one(networks: list[str]) -> None:
    consul = {"reverse": networks}
    async with own_and_public() as (own, public):
        async with world(public, own, consul=consul, **PUBLIC_RESOLVERS) as here:
            assert await told(here, PRIVATE[0]) == "own"
            assert (here.asked(), own.names, public.names) == (
                ["1 udp"], [f"{PRIVATE[0]}."], [],
            )  # fmt: skip
        own.asked.clear()
        async with world(public, consul=consul, **PUBLIC_RESOLVERS) as here:
            # Consul's own words: the zone here is for what nobody knows.
            assert await told(here, PRIVATE[0]) == "NXDOMAIN"
            assert (here.asked(), public.names) == (["1 udp"], [])


async def test_a_wide_network_given_to_consul_has_the_private_ones_in_it() -> None:
    consul = {"reverse": ["0.0.0.0/0"]}
    async with (
        own_and_public() as (own, public),
        world(public, own, consul=consul, **PUBLIC_RESOLVERS) as here,
    ):
        known = await here.ask("11.10.0.10.in-addr.arpa", "PTR")
        assert known.data == ["galera1.node.dc1.consul."]
        assert await told(here, OUT_THERE) == "public"
        assert await told(here, "1.0.0.127.in-addr.arpa") == "localhost"
        assert own.names == []


async def test_forward_zones_are_what_they_say() -> None:
    async with own_and_public() as (own, public):
        at_own, at_public = f"{own.host}:{own.port}", f"{public.host}:{public.port}"
        forward = {"10.in-addr.arpa": [at_public], "16.172.in-addr.arpa": [at_own]}
        async with world(public, forward=forward, **PUBLIC_RESOLVERS) as here:
            heard = [await told(here, name) for name in PRIVATE[:3]]
            assert heard == ["public", "own", DENIED_HERE]
        # One for all reverse names says nothing of private ones: who of its servers is asked
        # follows from whose they are.
        for servers, answers in (
            ([at_own], "own"), ([at_public, at_own], "own"), ([at_public], DENIED_HERE),
        ):  # fmt: skip
            async with world(public, forward={"in-addr.arpa": servers}, **PUBLIC_RESOLVERS) as here:
                assert [await told(here, name) for name in PRIVATE[:7]] == [answers] * 7
        forward = {"in-addr.arpa": [at_own]}
        async with world(public, forward=forward, **PUBLIC_RESOLVERS) as here:
            assert await told(here, PRIVATE[7]) == DENIED_HERE


async def test_a_resolv_conf_that_changes_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    path = tmp_path / "resolv.conf"
    async with own_and_public() as (own, public):
        ports = {own.host: own.port, public.host: public.port}

        def on_test_ports(*arguments: object) -> list[Configured]:
            # Nameservers in resolv.conf are at port 53, which tests cannot have.
            found = recursors_from(*arguments)  # type: ignore[arg-type]
            return [one.replace(port=ports[one.address]) for one in found]

        async def name(here: World, *servers: Recursor) -> None:
            path.write_text("".join(f"nameserver {one.host}\n" for one in servers))
            wanted = [one.port for one in servers]
            await until(
                lambda: [one.port for one in here.engine.upstreams() if not one.is_agent] == wanted
            )

        monkeypatch.setattr("consulfwd.net.host.recursors_from", on_test_ports)
        path.write_text(f"nameserver {own.host}\n")
        async with world(resolv_conf=str(path), **PUBLIC_RESOLVERS) as here:
            assert await told(here, PRIVATE[0]) == "own"
            await name(here, public, own)
            assert await told(here, PRIVATE[0]) == "own"
            # Who is asked for it is whom it was asked of: it was at hand.
            assert len(own.names) == 1
            assert await told(here, PRIVATE[1]) == "own"
            await name(here, public)
            assert await told(here, PRIVATE[0]) == await told(here, PRIVATE[1]) == DENIED_HERE
            await name(here, own, public)
            assert await told(here, PRIVATE[0]) == "own"
            assert public.names == []


async def test_a_reload_that_names_other_public_resolvers_is_followed() -> None:
    async with own_and_public() as (own, public), world(public, own) as here:
        same = {"listen": [str(here.server.settings.listen[0])]}
        assert await told(here, PRIVATE[0]) == "public"
        listed = settings(here.cluster, public, own, **same, **PUBLIC_RESOLVERS)
        await here.server.reload(listed)
        assert await told(here, PRIVATE[1]) == "own"
        await here.server.reload(settings(here.cluster, public, own, **same))
        assert await told(here, PRIVATE[2]) == "public"


@pytest.mark.parametrize("name", ["_dns.resolver.arpa", "resolver.arpa", "A.b.Resolver.ARPA"])
@pytest.mark.parametrize("qtype", ["SVCB", "A", "AAAA", "HTTPS", "TXT"])
async def test_no_resolver_is_designated_for_this_one(name: str, qtype: str) -> None:
    """RFC 9462: no data (section 4), for every type and name (6.4), and nobody is asked (6.1)."""
    answers = {(name, qtype): ["SVCB 1 dns.example. alpn=dot"] if qtype == "SVCB" else []}
    async with Recursor(answers) as recursor, world(recursor) as here:
        for tcp in (False, True):
            reply = await here.ask(name, qtype, tcp=tcp)
            assert [line.replace("Resolver.ARPA", "resolver.arpa") for line in reply.lines] == [
                "NOERROR aa rd ra",
                "ns resolver.arpa. 60 SOA resolver.arpa. nobody.invalid. # 3600 1200 604800 60",
            ]
        assert recursor.names == []
