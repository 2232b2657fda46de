"""Recursors in order are not equals: what the first says counts more, if it says anything."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from consulfwd.config import Recursor as Configured
from consulfwd.core import query
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.net.lookup import Resolver
from tests import loopback
from tests.coreless import our_time
from tests.net.recursor import Recursor
from tests.net.world import World, settings, until, world

OWN = {
    ("host.slow.test", "A"): ["A 10.6.0.2"],
    ("quick.test", "A"): ["A 10.6.0.1"],
    **{(f"n{number}.slow.test", "A"): ["A 10.6.0.3"] for number in range(9)},
}
SLOW_S = 0.3


def recursors(here: World) -> list[Upstream]:
    return [one for one in here.engine.upstreams() if not one.is_agent]


def quick(here: World) -> None:
    """As if all had been asked often, and had answered at once."""
    for upstream in recursors(here):
        upstream.srtt, upstream.rttvar = 0.001, 0.0


def sections(way: str, first: Recursor, second: Recursor) -> dict[str, Any]:
    places = [f"{loopback.OWN}:{one.port}" for one in (first, second)]
    return {"recursors": places} if way == "recursors" else {"forward": {"test": places}}


@pytest.mark.parametrize("way", ["recursors", "forward"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("qtype", ["A", "MX"])
async def test_a_denial_of_the_second_waits_for_the_first(way: str, tcp: bool, qtype: str) -> None:
    """Whether it has no such name or no such data; both are waited for."""
    async with Recursor(OWN) as first, Recursor() as second:
        first.slow_labels["slow"] = SLOW_S
        first.records["host.slow.test.", "MX"] = ["MX 10 mail.test."]
        if qtype == "MX":
            second.records["host.slow.test.", "TXT"] = ["TXT there"]
        async with world(**sections(way, first, second)) as here:
            quick(here)
            reply = await here.ask("host.slow.test", qtype, tcp=tcp)
            assert reply.rcode == "NOERROR"
            assert reply.data == (["10.6.0.2"] if qtype == "A" else ["10 mail.test."])
            assert "host.slow.test." in second.names


async def test_an_answer_of_the_second_is_not_kept_waiting() -> None:
    async with Recursor(OWN) as first, Recursor(OWN) as second, world(first, second) as here:
        first.silent = True
        quick(here)
        began = our_time()
        assert (await here.ask("quick.test")).data == ["10.6.0.1"]
        assert our_time() - began < 0.8


@pytest.mark.parametrize("end", ["denies too", "fails", "is gone"])
async def test_the_denial_is_taken_once_the_first_has_nothing_better(end: str) -> None:
    async with Recursor() as first, Recursor() as second, world(first, second) as here:
        first.slow_labels["slow"] = SLOW_S
        if end == "fails":
            first.rcodes["other.slow.test."] = dns.rcode.SERVFAIL
        quick(here)
        asked = asyncio.ensure_future(here.ask("other.slow.test"))
        if end == "is gone":
            await until(lambda: second.names)
            for upstream in recursors(here)[:1]:
                here.engine.table.health.refused(upstream, here.engine.clock.now(), "it went away")
        began = our_time()
        assert (await asked).rcode == "NXDOMAIN"
        assert our_time() - began < (SLOW_S if end == "is gone" else 1.0)


async def test_the_denial_is_taken_in_the_end_and_corrected_by_a_late_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "DENIAL_WAIT", 0.3)
    async with Recursor(OWN) as first, Recursor() as second, world(first, second) as here:
        first.slow_labels["slow"] = 0.8
        quick(here)
        began = our_time()
        assert (await here.ask("host.slow.test")).rcode == "NXDOMAIN"
        assert 0.3 <= our_time() - began < 0.75
        await asyncio.sleep(0.6)
        assert (await here.ask("host.slow.test")).data == ["10.6.0.2"]


async def test_a_first_one_that_is_silent_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "DENIAL_WAIT", 0.3)
    async with Recursor() as first, Recursor() as second, world(first, second) as here:
        first.silent = True
        quick(here)
        for number in range(12):
            assert (await here.ask(f"made-up-{number}.test")).rcode == "NXDOMAIN"
        assert recursors(here)[0].state is not State.UP
        began = our_time()
        assert (await here.ask("one-more.test")).rcode == "NXDOMAIN"
        assert our_time() - began < 0.25


@pytest.mark.parametrize("kind", ["nothing", "referral"])
@pytest.mark.parametrize("way", ["recursors", "forward"])
async def test_a_lame_one_is_passed_over_and_put_behind(kind: str, way: str) -> None:
    async with Recursor() as first, Recursor(OWN) as second:
        first.lame = kind
        async with world(**sections(way, first, second)) as here:
            assert (await here.ask("quick.test")).data == ["10.6.0.1"]
            assert first.names.count("quick.test.") == 1
            assert "lame" in recursors(here)[0].behind
            # From now on the second comes first.
            assert (await here.ask("host.slow.test")).data == ["10.6.0.2"]
            assert "host.slow.test." not in first.names
            # After a while the first is tried again: it may have been about one name.
            here.skip(61)
            first.lame, first.records = "", {("new.test.", "A"): ["A 10.6.0.9"]}
            assert (await here.ask("new.test")).data == ["10.6.0.9"]
            assert recursors(here)[0].behind == ""


async def test_who_is_alone_and_lame_denies_nothing() -> None:
    async with Recursor() as only, world(only) as here:
        only.lame = "nothing"
        reply = await here.ask("quick.test")
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("SERVFAIL", [22])
        assert "lame" in reply.ede[0][1]


async def test_a_denial_without_soa_of_who_recurses_is_one() -> None:
    """NODATA of type 3 (RFC 2308 section 2.2.1)."""
    async with Recursor(OWN) as first, Recursor(OWN) as second, world(first, second) as here:
        first.records["bare.test.", "TXT"] = ["TXT there"]
        first.bare = True
        reply = await here.ask("bare.test", "MX")
        assert (reply.rcode, reply.answers) == ("NOERROR", [])
        assert second.names == []


@pytest.mark.parametrize("alone", [True, False])
async def test_a_server_that_drops_edns(alone: bool) -> None:
    async with Recursor(OWN) as first, Recursor(OWN) as second:
        first.drops_edns = True
        servers = [first] if alone else [first, second]
        async with world(*servers, query={"deadline": 3.0}) as here:
            assert (await here.ask("quick.test")).data == ["10.6.0.1"]
            if not alone:
                # It is found to know none while nobody waits for it.
                for number in range(6):
                    await here.ask(f"n{number}.slow.test")
                await until(lambda: recursors(here)[0].plain)
                await until(lambda: recursors(here)[0].state is State.UP, 10.0)
            # That is remembered, ...
            before = len(first.asked)
            began = our_time()
            assert (await here.ask("host.slow.test")).data == ["10.6.0.2"]
            assert our_time() - began < 0.25
            assert first.names[before:].count("host.slow.test.") == 1
            # ... and looked into now and then.
            first.drops_edns = False
            here.skip(3.0)
            here.skip(900.0)
            await until(lambda: not recursors(here)[0].plain)


async def test_one_lost_datagram_is_no_want_of_edns() -> None:
    async with Recursor(OWN) as only, world(only, query={"recursor_deadline": 1.2}) as here:
        assert (await here.ask("quick.test")).data == ["10.6.0.1"]
        only.dead_labels = ("slow",)
        asked = asyncio.ensure_future(here.ask("host.slow.test"))
        await asyncio.sleep(0.2)
        only.dead_labels = ()
        assert (await asked).data == ["10.6.0.2"]
        assert not recursors(here)[0].plain


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP", "YXDOMAIN"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_what_recursors_say_of_the_question_is_passed_on(rcode: str, tcp: bool) -> None:
    async with Recursor() as first, Recursor() as second, world(first, second) as here:
        for recursor in (first, second):
            recursor.rcodes["odd.test."] = dns.rcode.from_text(rcode)
        reply = await here.ask("odd.test", "TYPE65280", tcp=tcp)
        assert (reply.rcode, reply.answers, reply.ede) == (rcode, [], [])
        assert "odd.test." in second.names
        # An answer of one is better; SERVFAIL is not, nor is it worse than silence.
        second.records["odd.test.", "TXT"] = ["TXT there"]
        del second.rcodes["odd.test."]
        assert (await here.ask("odd.test", "TXT", tcp=tcp)).data == ['"there"']
        second.rcodes["odd.test."] = dns.rcode.SERVFAIL
        assert (await here.ask("odd.test", "TYPE65281", tcp=tcp)).rcode == rcode


async def test_what_is_cut_and_cannot_be_had_whole() -> None:
    """Over UDP there is a part, and TC; over TCP a part would be taken for the whole."""
    async with Recursor(OWN) as only, world(only, query={"recursor_deadline": 0.5}) as here:
        only.truncate = True
        only.deaf_stream = True
        reply = await here.ask("quick.test")
        assert (reply.rcode, "tc" in reply.flags) == ("NOERROR", True)
        reply = await here.ask("quick.test", tcp=True)
        assert (reply.rcode, "tc" in reply.flags) == ("SERVFAIL", False)
        assert [code for code, _ in reply.ede] == [23]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_who_asks_for_ad_gets_it_from_who_vouches_and_from_no_cache(tcp: bool) -> None:
    """RFC 6840 sections 5.7 and 5.8, RFC 4035 section 3.2.3."""
    async with Recursor(OWN) as only, world(only) as here:
        only.authentic = True
        for ad, do, expected in ((1, 0, True), (0, 1, True), (0, 0, False), (1, 1, True)):
            name = f"n{ad * 2 + do}.slow.test"
            flags = [await authentic(here, name, ad=ad, do=do, tcp=tcp) for _ in range(2)]
            assert flags == [expected, False], name


async def test_why_a_recursor_could_not_is_passed_on() -> None:
    """RFC 8914 section 2: of all who failed, the first that says why."""
    async with Recursor() as first, Recursor() as second, world(first, second) as here:
        for recursor in (first, second):
            recursor.rcodes["bogus.test."] = dns.rcode.SERVFAIL
        second.because = dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "signature expired")
        reply = await here.ask("bogus.test")
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("SERVFAIL", [6])
        assert "signature expired" in reply.ede[0][1]


async def authentic(here: World, name: str, *, ad: int, do: int, tcp: bool) -> bool:
    query = dns.message.make_query(name, "A", want_dnssec=bool(do))
    query.flags |= dns.flags.AD * ad
    client = here.tcp() if tcp else here.udp()
    async with client:
        client.send(query.to_wire())
        reply = dns.message.from_wire(await client.receive())
    assert not reply.flags & dns.flags.AA
    return bool(reply.flags & dns.flags.AD)


async def test_a_public_one_denies_nothing_for_one_that_was_lame_for_another_name() -> None:
    """The site's own refers a delegated name on, and knows all others of the site."""
    async with Recursor(OWN) as own, Recursor() as public, world(own, public) as here:
        public.records["sub.test.", "A"] = ["A 192.0.2.7"]
        own.lame = "referral"
        assert (await here.ask("sub.test")).data == ["192.0.2.7"]
        own.lame = ""
        assert recursors(here)[0].behind
        for name in ("quick.test", "host.slow.test"):
            assert (await here.ask(name)).rcode == "NOERROR"
        # What both deny is denied, at once.
        began = our_time()
        assert (await here.ask("nowhere.test")).rcode == "NXDOMAIN"
        assert our_time() - began < 0.5


async def test_a_stale_answer_is_better_than_a_recursors_verdict_or_denial() -> None:
    async with (
        Recursor(OWN, ttl=5) as first,
        Recursor(OWN, ttl=5) as second,
        world(first, second, query={"deadline": 0.6}) as here,
    ):
        assert (await here.ask("quick.test")).data == ["10.6.0.1"]
        here.skip(60)
        for recursor in (first, second):
            recursor.rcodes["quick.test."] = dns.rcode.NOTIMP
        reply = await here.ask("quick.test")
        assert (reply.data, [code for code, _ in reply.ede]) == (["10.6.0.1"], [3])
        # The first hangs, and the second denies what the first has answered.
        here.skip(60)
        first.silent, second.rcodes, second.records = True, {}, {}
        quick(here)
        reply = await here.ask("quick.test")
        assert (reply.data, [code for code, _ in reply.ede]) == (["10.6.0.1"], [3])


async def test_what_came_without_edns_is_not_kept_for_who_wants_signatures() -> None:
    async with Recursor(OWN) as only, world(only, query={"recursor_deadline": 3.0}) as here:
        only.drops_edns = True
        for do in (1, 0):
            await authentic(here, "quick.test", ad=0, do=do, tcp=False)
        before = len(only.asked)
        await authentic(here, "quick.test", ad=0, do=0, tcp=False)
        assert len(only.asked) == before
        await authentic(here, "quick.test", ad=0, do=1, tcp=False)
        assert len(only.asked) == before + 1


async def test_a_server_that_is_named_is_shown_as_it_is() -> None:
    async with Recursor() as only, world(agents=1) as here:
        only.lame = "referral"
        server = Configured(address=loopback.OWN, port=only.port)
        async with Resolver(settings(here.cluster), server=server) as resolver:
            answer = await resolver.resolve("sub.test")
        assert (answer.rcode, [one.type for one in answer.authority]) == ("NOERROR", ["NS"])
