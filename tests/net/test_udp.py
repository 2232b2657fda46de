"""The UDP listener under bad input and under load: hot answers, garbage, nothing lost after it."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct

import dns.edns
import pytest

from consulfwd.net import mmsg
from consulfwd.net.host import bind
from consulfwd.net.udp import listen
from tests.loopback import OWN
from tests.net.messages import Reply, parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, open_sockets, settings, world

GOOD = question("galeradb.service.consul")
HEAD, REST = GOOD[:2], GOOD[2:]
NOERROR, FORMERR, NOTIMP = 0, 1, 4
SILENCE = None
# What comes in, and the rcode that goes out. RFC 1035 section 4.1, RFC 6891 section 6.1.1.
MALFORMED: dict[str, tuple[bytes, int | None]] = {
    "nothing": (b"", SILENCE),
    "one octet": (b"\0", SILENCE),
    "eleven octets": (GOOD[:11], SILENCE),
    "a response": (HEAD + b"\x81" + GOOD[3:], SILENCE),
    "a header alone": (GOOD[:12], FORMERR),
    "no question": (HEAD + b"\1\0" + bytes(8), FORMERR),
    "two questions": (HEAD + b"\1\0\0\2" + bytes(6) + GOOD[12:], FORMERR),
    "an answer in a query": (GOOD[:7] + b"\1" + GOOD[8:], FORMERR),
    "opcode 2": (HEAD + b"\x11" + GOOD[3:], NOTIMP),
    "opcode 5, update": (HEAD + b"\x28" + GOOD[3:], NOTIMP),
    "cut in the name": (GOOD[:20], FORMERR),
    "cut before the class": (GOOD[:12] + b"\1x\0\0\1", FORMERR),
    "cut in the OPT": (GOOD[:-3], FORMERR),
    "something behind it": (GOOD + b"\0", FORMERR),
    "a name that points at itself": (HEAD + b"\1\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1", FORMERR),
    "a name that points ahead": (HEAD + b"\1\0\0\1" + bytes(6) + b"\xc0\x20\0\1\0\1", FORMERR),
    "a label of type 01": (HEAD + b"\1\0\0\1" + bytes(6) + b"\x41x\0\0\1\0\1", FORMERR),
    "a name of 257 octets": (
        HEAD + b"\1\0\0\1" + bytes(6) + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", FORMERR,
    ),
    "two OPTs": (GOOD[:11] + b"\2" + GOOD[12:] + GOOD[-11:], FORMERR),
    "an OPT not at the root": (GOOD[:-11] + b"\1x" + GOOD[-11:], FORMERR),
    "an option past the end": (GOOD[:-2] + b"\0\4\0\3\0\x09", FORMERR),
    "4096 octets of it": (GOOD + bytes(4096 - len(GOOD)), FORMERR),
    "9000 octets of it": (GOOD + bytes(9000 - len(GOOD)), FORMERR),
}  # fmt: skip


@pytest.mark.parametrize("allowed", [True, False], ids=["client", "stranger"])
@pytest.mark.usefixtures("twin")
async def test_malformed_queries(allowed: bool) -> None:
    access = {} if allowed else {"allow": ["192.0.2.0/24"]}
    heard: dict[str, int | None] = dict.fromkeys(MALFORMED)
    async with world(access=access) as here, here.udp() as client:
        for what, (packet, _) in MALFORMED.items():
            # A good query goes behind it: what comes before the answer to that is the reply.
            client.send(packet)
            client.send(b"\xff\xff" + REST)
            while (reply := await client.receive())[:2] != b"\xff\xff":
                assert (heard[what], reply[:2]) == (None, HEAD)
                heard[what] = reply[3] & 15
            assert parse(reply).data == (GALERA if allowed else [])
    assert heard == {what: rcode if allowed else None for what, (_, rcode) in MALFORMED.items()}


@pytest.mark.parametrize(
    ("what", "asked", "told"),
    [
        # QR, the opcode and RD; nothing else of an opcode nobody knows.
        ("opcode 15, every flag", 0x7FF0, 0xF904),
        ("opcode 15, every flag but RD", 0x7EF0, 0xF804),
        ("opcode 5, every flag", 0x2FF0, 0xA904),
        # A QUERY that is refused keeps CD as well (RFC 6895 section 2).
        ("two questions, every flag", 0x07F0, 0x8111),
    ],
)
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_flags_of_a_refusal(what: str, asked: int, told: int, tcp: bool) -> None:
    counts = b"\0\2" if "question" in what else b"\0\0"
    packet = HEAD + asked.to_bytes(2, "big") + counts + bytes(6)
    async with world() as here, here.tcp() if tcp else here.udp() as client:
        client.send(packet)
        assert await client.receive() == HEAD + told.to_bytes(2, "big") + bytes(8), what


def noise(rng: random.Random) -> bytes:
    """Return a datagram: random octets, or a good query with something changed."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(300))
    packet = bytearray(GOOD)
    if kind == 1:
        return bytes(packet[: rng.randrange(len(packet))])
    if kind == 2:
        return bytes(packet) + rng.randbytes(rng.randrange(1, 50))
    for _ in range(rng.randrange(1, 6)):
        packet[rng.randrange(len(packet))] = rng.randrange(256)
    return bytes(packet)


@pytest.mark.usefixtures("twin")
async def test_ten_thousand_random_datagrams() -> None:
    rng = random.Random(20)
    # Mutated names that are still names get an answer too: SERVFAIL, there are no recursors.
    async with world() as here, here.udp() as client:
        before = open_sockets(), len(asyncio.all_tasks())
        for _ in range(200):
            for _ in range(50):
                client.send(noise(rng))
            await asyncio.sleep(0)
        await here.engine.table.drain(5)
        assert here.counters.queries == 10_000
        assert (await here.ask("galeradb.service.consul")).data == GALERA
        assert (open_sockets(), len(asyncio.all_tasks())) == before
        assert not here.engine.flights


async def repeat(here: World, times: int) -> list[Reply]:
    """Ask the same over one socket, one after the other."""
    replies = []
    async with here.udp() as client:
        for ident in range(times):
            client.send(ident.to_bytes(2, "big") + REST)
            replies.append(parse(await client.receive()))
            assert replies[-1].id == ident
    return replies


@pytest.mark.usefixtures("twin")
async def test_repeated_cached_answers_are_hot_and_take_turns() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 30
        here.skip(0)
        replies = await repeat(here, 1 + 12)
        assert (here.counters.hot, here.asked()) == (11, ["1 udp"])
        assert {tuple(reply.data) for reply in replies} == {tuple(GALERA)}
        first = [reply.answers[0].split()[3] for reply in replies[1:]]
        assert {address: first.count(address) for address in GALERA} == dict.fromkeys(GALERA, 4)
        assert len({tuple(reply.answers) for reply in replies[1:]}) >= 3


async def test_hot_answers_count_down_and_end(twin: str) -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 3
        seen = []
        for _ in range(4):
            here.skip(1)
            before = here.counters.hot
            ttls = [reply.ttls for reply in await repeat(here, 6)]
            assert len({frozenset(one) for one in ttls}) == 1
            seen.append((ttls[0], here.counters.hot > before, len(here.asked())))
    # In the third second it runs out: the compiled lane looks, and Python has not kept it ready.
    last = twin == "compiled"
    assert seen == [({3}, True, 1), ({2}, True, 1), ({1}, last, 1), ({3}, True, 2)]


@pytest.mark.usefixtures("twin")
async def test_answers_with_ttl_0_are_never_hot() -> None:
    async with world() as here:
        await repeat(here, 6)
        assert (here.counters.hot, here.counters.cached, here.asked()) == (0, 0, ["1 udp"] * 6)


@pytest.mark.usefixtures("twin")
async def test_hot_answers_depend_on_the_whole_datagram() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 30
        here.skip(0)
        await repeat(here, 5)
        plain = await here.ask("galeradb.service.consul", edns=None)
        upper = await here.ask("GALERADB.service.consul")
        assert (plain.edns, upper.name) == (None, "GALERADB.service.consul.")
        assert here.counters.hot == 3


@pytest.mark.usefixtures("twin")
async def test_what_is_hot_counts_as_used() -> None:
    """The cache forgets what was used least recently, and does not see what is hot being used."""
    async with world(cache={"size": 4}) as here:
        here.cluster.dns.service_ttl = 300
        here.skip(0)
        await repeat(here, 3)
        for qtype in ("A", "AAAA", "SRV"):
            await here.ask("web.service.consul", qtype)
        (key, *others) = here.engine.cache.entries
        assert len(others) == 3
        await repeat(here, 1)
        here.tick()
        await here.ask("consul.service.consul")
        assert key in here.engine.cache.entries
        assert others[0] not in here.engine.cache.entries


@pytest.mark.usefixtures("twin")
async def test_answers_are_hot_from_one_second_to_the_next() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 30
        here.skip(0)
        await repeat(here, 2)
        cached = here.counters.cached
        for second in range(1, 6):
            here.skip(1)
            assert [reply.ttls for reply in await repeat(here, 3)] == [{30 - second}] * 3
        # Python makes anew each second what counts down.
        assert here.counters.cached - cached in (0, 5)
        assert here.asked() == ["1 udp"]


async def test_made_up_names_do_not_fill_the_memory() -> None:
    async with world() as here:
        for number in range(10_000):
            here.engine.front.questions.prepare(question(f"n{number}.test", edns=None))
        assert len(here.engine.asks) <= 4096


@pytest.mark.usefixtures("twin")
async def test_hot_answers_end_with_a_reload() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 30
        here.skip(0)
        await repeat(here, 5)
        allowed, refused = {"allow": ["127.0.0.0/8"]}, {"allow": ["192.0.2.0/24"]}
        await here.server.reload(settings(here.cluster, access=allowed))
        assert [reply.data for reply in await repeat(here, 4)] == [GALERA] * 4
        await here.server.reload(settings(here.cluster, access=refused))
        assert [reply.rcode for reply in await repeat(here, 2)] == ["REFUSED"] * 2


async def test_a_late_answer_does_not_leave_through_another_socket() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((OWN, 0))
        client.setblocking(False)
        host, port = client.getsockname()
        peer = struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + socket.inet_aton(host)
        async with world() as here:
            sock = bind(OWN, 0, socket.SOCK_DGRAM)
            number = sock.fileno()
            udp = listen(sock, here.engine.front, here.server._access, loop)
            udp.send(b"in time", peer + bytes(8))
            udp.close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                assert other.fileno() == number
                udp.send(b"late", peer + bytes(8))
                await asyncio.sleep(0.01)
        assert client.recv(100) == b"in time"
        with pytest.raises(BlockingIOError):
            client.recv(100)


@pytest.mark.usefixtures("twin")
async def test_the_query_log_tells_every_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="consulfwd.query")
    async with world(log={"queries": True}) as here:
        here.cluster.dns.service_ttl = 30
        for _ in range(8):
            await here.ask("GaleraDB.service.consul", "SRV")
        await here.ask("localhost", "AAAA", tcp=True)
        await here.server.reload(settings(here.cluster))
        await here.ask("galeradb.service.consul")
        name = here.server.settings.consul.agents[0].name
    logged = [record.getMessage() for record in caplog.records if record.name == "consulfwd.query"]
    assert len(logged) == 9
    ways = []
    for line in logged[:8]:
        asked, _, rest = line.partition(": NOERROR, ")
        assert asked == "galeradb.service.consul. SRV from 127.0.0.1 over udp"
        found = re.fullmatch(r"(.*), \d+\.\d ms, 232 octets", rest)
        assert found is not None
        ways.append(found[1])
    # One at least comes from the cache before the answer is ready as octets.
    assert ways[:2] == [f"agent {name}", f"cache of {name}"]
    assert "hot" in ways[2:]
    assert logged[8].startswith("localhost. AAAA from 127.0.0.1 over tcp: NOERROR, here, ")


@pytest.mark.usefixtures("twin")
async def test_a_query_longer_than_the_block_is_read_whole() -> None:
    padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(700))
    async with world() as here, here.udp() as client:
        plain, long = (
            question("galeradb.service.consul"),
            question("galeradb.service.consul", options=[padding]),
        )
        assert len(plain) < mmsg.SLOT < len(long)
        for packet in (plain, long, plain, long):
            client.send(packet)
        for _ in range(4):
            assert parse(await client.receive()).data == GALERA


def large(size: int) -> list[str]:
    """Return TXT records for `large.test` that make a reply of so many octets, OPT and all."""
    left = size - 12 - 16 - 11
    each = 12 + 1 + 255
    records: list[str] = []
    while left:
        # None so small that it would be less than a record.
        text = (each if left >= 2 * each else left // 2 if left > each else left) - 13
        records.append(f'TXT "{len(records):03}{"x" * (text - 3)}"')
        left -= text + 13
    return records


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("size", "cut"), [(65_506, False), (65_507, False), (65_508, True), (65_520, True)]
)
async def test_what_no_datagram_can_carry_is_cut(host: str, size: int, cut: bool) -> None:
    """A client may announce 65,535 octets; a packet has its headers, too."""
    listening = f"[{host}]:0" if ":" in host else f"{host}:0"
    async with Recursor({("large.test", "TXT"): large(size)}) as recursor:
        recursor.truncate = True
        async with world(recursor, listen=[listening]) as here:
            # Asked, and from the cache.
            for _ in range(3):
                reply = await here.ask("large.test", "TXT", edns=65_535)
                assert (reply.rcode, "tc" in reply.flags) == ("NOERROR", cut)
                assert reply.size <= 65_507 if cut else reply.size == size
            assert (await here.ask("large.test", "TXT", edns=65_535, tcp=True)).size == size
        assert [asked.transport for asked in recursor.asked] == ["udp", "tcp"]
