"""Aliases that a recursor followed: passed on in order, however long; what leads nowhere is told
so."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    AAAA,
    CNAME,
    NOERROR,
    NXDOMAIN,
    SERVFAIL,
    SOA,
    A,
    opt,
    query,
    record,
    wire,
)
from tests.conformance.upstream import SOA_DATA

pytestmark = pytest.mark.asyncio(loop_scope="module")

DNAME = 39
DENIAL = record("test", SOA, SOA_DATA, 60)


def chain(name: str, length: int, ttl: int = 300) -> list[bytes]:
    """Return aliases from a name to `end-` of it, `length` of them."""
    names = [name, *(f"{number}-{name}" for number in range(1, length)), f"end-{name}"]
    return [
        record(names[at], CNAME, names[at + 1] + ".", ttl) for at in range(len(names) - 1)
    ]


def owners(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 15, 16])
async def test_chains(served: Served, length: int) -> None:
    """RFC 1034 section 3.6.2, RFC 2181 section 10.1: every alias, in the order they lead on."""
    name = f"chain{length}.test"
    rows = [*chain(name, length), record(f"end-{name}", A, "192.0.2.1")]
    served.upstream.answers(name, *rows)
    packet = query(name, edns=opt(4096))
    for reply in (await served.ask(packet, times=4), await served.ask_tcp(packet)):
        assert (reply.rcode, len(reply.answers)) == (NOERROR, length + 1)
        for line, following in zip(reply.answers, reply.answers[1:], strict=False):
            assert line.split()[3] == following.split()[0]
        assert reply.answers[0].split()[0] == f"{name}."
        assert reply.answers[-1] == f"end-{name}. {reply.ttls[-1]} A 192.0.2.1"
    assert len(served.upstream.heard(name)) == 1


@pytest.mark.parametrize("count", [2, 5])
async def test_order_behind_an_alias(served: Served, count: int) -> None:
    """RFC 1034 section 3.6.2: aliases stay ahead of what they lead to, however that is turned."""
    name = f"several{count}.test"
    data = [f"192.0.2.{number}" for number in range(count)]
    rows = [*chain(name, 2), *(record(f"end-{name}", A, one) for one in data)]
    served.upstream.answers(name, *rows)
    for _ in range(5):
        reply = await served.ask(query(name, edns=opt()))
        assert owners(reply.answers)[:2] == [f"{name}.", f"1-{name}."]
        assert sorted(line.split()[3] for line in reply.answers[2:]) == data


async def test_asked_for_the_alias_itself(served: Served) -> None:
    """RFC 1034 section 3.6.2: who asks for CNAME gets the alias, and nothing is followed."""
    served.upstream.answers("itself.test", record("itself.test", CNAME, "other.test."))
    reply = await served.ask(query("itself.test", CNAME), times=3)
    assert reply.rdata == ["other.test."]
    assert served.upstream.heard("other.test") == []


async def test_dname(served: Served) -> None:
    """RFC 6672 section 3.1: the DNAME, the CNAME made of it, and where that leads."""
    rows = [
        record("old.test", DNAME, "new.test."),
        record("www.old.test", CNAME, "www.new.test."),
        record("www.new.test", A, "192.0.2.1"),
    ]
    served.upstream.answers("www.old.test", *rows)
    reply = await served.ask(query("www.old.test", edns=opt()), times=4)
    kinds = [line.split()[2] for line in reply.answers]
    assert (reply.rcode, kinds) == (NOERROR, ["DNAME", "CNAME", "A"])
    served.upstream.answers("old.test", rows[0])
    assert (await served.ask(query("old.test", DNAME), times=3)).rdata == ["new.test."]


async def test_dname_chain(served: Served) -> None:
    """RFC 6672 section 3.1: several of them, one behind the other."""
    rows = []
    for number in range(6):
        rows += [
            record(f"d{number}.test", DNAME, f"d{number + 1}.test."),
            record(f"www.d{number}.test", CNAME, f"www.d{number + 1}.test."),
        ]
    served.upstream.answers("www.d0.test", *rows, record("www.d6.test", AAAA, "2001:db8::1"))
    reply = await served.ask(query("www.d0.test", AAAA, edns=opt(4096)), times=3)
    kinds = [line.split()[2] for line in reply.answers]
    assert kinds == ["DNAME", "CNAME"] * 6 + ["AAAA"]


async def test_a_dname_that_makes_names_too_long(served: Served) -> None:
    """RFC 6672 section 2.2: YXDOMAIN, with the DNAME that is to blame."""
    row = record("long.test", DNAME, "x" * 60 + ".test.")
    served.upstream.on("www.long.test", lambda asked: asked.reply(row, rcode=6))
    reply = await served.ask(query("www.long.test", edns=opt()))
    assert (reply.rcode, [line.split()[2] for line in reply.answers]) == (6, ["DNAME"])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["loop1"], id="itself"),
        pytest.param(["loop2", "a"], id="two"),
        pytest.param(["loop3", "b", "c"], id="three"),
        pytest.param(["tail", "d", "e", "d"], id="behind a tail"),
    ],
)
async def test_loops(served: Served, names: list[str]) -> None:
    """RFC 1034 section 3.6.2: a chain that ends nowhere ends here, in an error or as it came."""
    around = names if names[0] != "tail" else names[:-1]
    targets = [*names[1:], names[0]] if names[0] != "tail" else names[1:]
    rows = [
        record(f"{one}.test", CNAME, f"{target}.test.")
        for one, target in zip(around, targets, strict=True)
    ]
    served.upstream.answers(f"{names[0]}.test", *rows)
    packet = query(f"{names[0]}.test", edns=opt())
    for reply in (await served.ask(packet), await served.ask_tcp(packet)):
        assert reply.rcode in (NOERROR, SERVFAIL)
        assert len(reply.answers) in (0, len(rows))
    for one in names:
        assert len(served.upstream.heard(f"{one}.test")) <= 3


# Aliases to nothing


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
@pytest.mark.parametrize("length", [1, 3, 16])
async def test_aliases_to_nothing(served: Served, rcode: int, length: int) -> None:
    """RFC 2308 sections 2.1 and 2.2, RFC 6604 section 3: the RCODE is about the last name, and the
    aliases are in the answer."""
    name = f"nothing{length}-{rcode}.test"
    rows = chain(name, length)
    served.upstream.on(name, lambda asked: asked.reply(*rows, rcode=rcode, authority=[DENIAL]))
    packet = query(name, edns=opt(4096))
    for reply in (await served.ask(packet, times=4), await served.ask_tcp(packet)):
        assert (reply.rcode, len(reply.answers), len(reply.authority)) == (rcode, length, 1)
        assert owners(reply.answers)[0] == f"{name}."
    assert len(served.upstream.heard(name)) == 1


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
@pytest.mark.parametrize(
    ("alias", "denial", "minimum", "lasts"),
    [(300, 60, 20, 20), (300, 20, 60, 20), (10, 60, 60, 10), (30, 30, 30, 30)],
)
async def test_how_long_an_alias_to_nothing_is_known(
    served: Served, rcode: int, alias: int, denial: int, minimum: int, lasts: int
) -> None:
    """RFC 2308 section 5: as long as the alias, and no longer than its target is denied."""
    name = f"lasts-{rcode}-{alias}-{denial}-{minimum}.test"
    soa = record("test", SOA, f"ns.test. hostmaster.test. 1 2 3 4 {minimum}", denial)
    rows = chain(name, 1, alias)
    served.upstream.on(name, lambda asked: asked.reply(*rows, rcode=rcode, authority=[soa]))
    packet = query(name, edns=opt())
    assert (await served.ask(packet)).rcode == rcode
    served.here.skip(lasts - 1.5)
    assert (await served.ask(packet)).rcode == rcode
    assert len(served.upstream.heard(name)) == 1
    served.here.skip(2)
    assert (await served.ask(packet)).rcode == rcode
    assert len(served.upstream.heard(name)) == 2


async def test_the_ttl_of_a_chain(served: Served) -> None:
    """RFC 2181 section 5.2, RFC 1034 section 3.6.2: as good as the shortest of its records, each
    shown with its own."""
    rows = [
        record("mixed.test", CNAME, "b.test.", 300),
        record("b.test", CNAME, "c.test.", 20),
        record("c.test", A, "192.0.2.1", 100),
    ]
    served.upstream.answers("mixed.test", *rows)
    packet = query("mixed.test", edns=opt())
    assert (await served.ask(packet)).ttls == [300, 20, 100]
    served.here.skip(19)
    assert [ttl // 10 for ttl in (await served.ask(packet)).ttls] == [28, 0, 8]
    served.here.skip(2)
    assert (await served.ask(packet)).ttls == [300, 20, 100]
    assert [one.name for one in served.upstream.heard("mixed.test")] == [wire("mixed.test")] * 2


async def test_case_in_a_chain(served: Served) -> None:
    """RFC 1034 section 3.1, RFC 4343 section 3: names are the same in any case, links too."""
    rows = [
        record("UPPER.test", CNAME, "Target.TEST."),
        record("tARGET.test", CNAME, "end.test."),
        record("END.test", A, "192.0.2.1"),
    ]
    served.upstream.answers("upper.test", *rows)
    reply = await served.ask(query("Upper.Test", edns=opt()), times=4)
    assert (reply.rcode, len(reply.answers)) == (NOERROR, 3)
    assert reply.answers[-1].endswith(" A 192.0.2.1")
