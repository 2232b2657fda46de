"""The compiled lanes under random and mutated datagrams, of clients and of upstreams.

A few seconds of it; FUZZ_ROUNDS is how many times as much. A failure tells its seed.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from consulfwd.net import _fast
from consulfwd.net.fastlane import fast
from consulfwd.net.udp_waiters import DatagramWaiter
from tests.net.fast.test_hotlane import HOT, REPLY, World
from tests.net.messages import question
from tests.net.twins import Play, answer, end_of_question

pytestmark = pytest.mark.skipif(fast is None, reason="there is no compiled one")

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
# Sanitizers keep what was freed for a while.
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
LENGTHS = (0, 1, 2, 3, 11, 12, 13, 40, 255, 256, 257, 512, 2047, 2048, 2049, 4096, 4097, 65507)
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the memory of this process (octets)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A message with something wrong: its length, counts, pointers, lengths of records, bits."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        kind = rng.randrange(7)
        if kind == 0:
            del made[rng.randrange(len(made) + 1) :]
        elif kind == 1:
            made += rng.randbytes(rng.choice((1, 2, 16, 300, 2048)))
        elif kind == 2 and len(made) >= 12:
            at = rng.randrange(4, 12, 2)
            made[at : at + 2] = rng.choice((0, 1, 2, 255, 65535)).to_bytes(2, "big")
        elif kind == 3 and len(made) > 14:
            # A pointer: to itself, behind the end, to the header.
            at = rng.randrange(12, len(made) - 1)
            to = rng.choice((at, 0, 12, 0x3FFF, rng.randrange(len(made))))
            made[at : at + 2] = (0xC000 | to).to_bytes(2, "big")
        elif kind == 4 and len(made) > 3:
            made[rng.randrange(2, 4)] = rng.randrange(256)
        elif kind == 5:
            made = bytearray(rng.randbytes(rng.choice(LENGTHS)))
        elif made:
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made[:65507])


@pytest.mark.parametrize("seed", range(4))
def test_datagrams_of_clients(seed: int) -> None:
    rng = random.Random(seed)
    there = World(rng.choice(("127.0.0.1", "::1")))
    given = {HOT}
    for size in (10, 30, 254, 255, 4094):
        key = rng.randbytes(size)
        there.answers[key] = (_fast.Ready([REPLY]), lambda: REPLY)[size % 2]
        given.add(key)
    try:
        for _ in range(60 * ROUNDS):
            sent = []
            for _ in range(rng.choice((1, 2, 20, 64))):
                known = rng.randbytes(2) + rng.choice([*given])
                sent.append(known if rng.random() < 0.5 else mutated(known, rng))
            # A socket's memory is for some of the longest only.
            while sum(map(len, sent)) > 60_000 and len(sent) > 1:
                sent.pop()
            done, left, replies = there.ask(*sent)
            # What is longer comes cut.
            sent = [one[:4096] for one in sent]
            hot = [one for one in sent if one[2:] in given]
            assert replies == [one[:2] + REPLY for one in hot]
            assert [sent[index] for index in left] == [one for one in sent if one[2:] not in given]
            assert done is (not left)
            assert there.counters.hot == there.counters.queries
    finally:
        there.close()


@pytest.mark.parametrize("seed", range(4))
def test_ready_answers(seed: int) -> None:
    """Whatever they are made of: no octet but TTLs and the order changes, or they are refused."""
    rng = random.Random(seed)
    query = question("many.service.consul")
    made = 0
    for _ in range(500 * ROUNDS):
        reply = answer(query, rng, "plain", rng.choice((0, 5, 1 << 31, (1 << 32) - 1)))[2:]
        begin, count = end_of_question(query) - 2, 7
        records = reply[begin : begin + 16 * count]
        if rng.random() < 0.7:
            reply = mutated(b"\0\0" + reply, rng)[2:]
        if rng.random() < 0.3:
            records = rng.choice((b"", records[:16], records[:-1], records * 9, rng.randbytes(112)))
            begin = rng.choice((begin, 0, 9, 10, 65535, len(reply)))
        try:
            ready = _fast.Ready((reply,), begin, rng.choice((16, 16, 16, 28, 0)), records, 1)
        except ValueError:
            continue
        made += 1
        for _ in range(20):
            given = ready()
            assert len(given) == len(reply)
            assert given[:begin] == reply[:begin] or not records
        for seconds in (0, 1, rng.randrange(1 << 31), 1 << 40):
            assert ready.age(seconds)
            assert len(ready()) == len(reply)
    assert made > 50


class Hostile(Play):
    """An upstream that is somebody else's now and then, and clients that are."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked: list[dict[bytes, bytes]] = [{} for _ in self.clients]
        self.answered = self.passed = 0
        driver = self.engine.driver
        relayed, drained = driver.on_relayed, driver.on_drained

        def on_relayed(*given: Any) -> bool:
            done = relayed(*given)
            self.passed -= done
            return done

        def on_drained(sample: Any, number: int, now: float) -> None:
            # What Python did of these is taken off above.
            self.passed += number
            drained(sample, number, now)

        driver.on_relayed, driver.on_drained = on_relayed, on_drained

    def query(self, number: int) -> None:
        """One query of one client, and maybe rubbish beside it."""
        rng, client = self.rng, self.rng.randrange(len(self.clients))
        self.ident += 1
        ident = self.ident % 65536
        name = f"f{number}.service.consul" if number % 3 else rng.choice(("many", "web")) + ".test"
        data = question(name, rng.choice(("A", "A", "AAAA")), ident=ident)
        self.asked[client][data[:2]] = data[12 : end_of_question(data)]
        self.clients[client].send(data)
        if rng.random() < 0.1:
            wrong = mutated(data, rng)
            # What it means as a query is not held against what is asked here.
            wrong = b"\xff\xff" + wrong[2:] if len(wrong) > 2 else wrong
            self.asked[client].pop(b"\xff\xff", None)
            self.clients[client].send(wrong)

    def answers(self, wrong: float) -> None:
        """Every server answers: some queries falsely before, behind, or in place of the truth."""
        rng = self.rng
        for server in self.servers:
            server.take()
            while server.waiting:
                query, client = server.waiting.popleft()
                try:
                    true = answer(query, rng, "plain", rng.choice((0, 0, 0, 3)))
                except (IndexError, OverflowError):
                    continue
                sent = [true]
                if rng.random() < wrong:
                    false = mutated(true, rng)
                    other = rng.randbytes(2) + true[2:]
                    sent = rng.choice(([false, true], [true, false], [false], [other, true], []))
                for one in sent:
                    server.sock.sendto(one, client)
            self.loop.settle()

    def hold(self) -> None:
        """Hold replies against what each client asked: its own IDs, its own questions."""
        for client, asked in zip(self.clients, self.asked, strict=True):
            while True:
                try:
                    reply = client.recv(65535)
                except BlockingIOError:
                    break
                if reply[:2] == b"\xff\xff" or len(reply) < 12:
                    continue
                assert reply[:2] in asked
                assert reply[2] & 0x80
                assert reply[12:].startswith(asked[reply[:2]])
                self.answered += 1


@pytest.mark.parametrize("seed", range(3))
def test_replies_of_upstreams(seed: int) -> None:
    play = Hostile(seed)
    rng = play.rng
    # There are no such errors of ours.
    play.loop.set_exception_handler(lambda _, context: play.loop.told.append(repr(context)))
    try:
        for number in range(100 * ROUNDS):
            for _ in range(rng.choice((1, 5, 40))):
                play.query(rng.randrange(20))
            play.loop.settle()
            # Who answers falsely all the time is asked nothing soon.
            play.answers(0.3 if number % 20 < 5 else 0.005)
            play.loop.skip(rng.choice((0.0, 0.001, 0.06, 0.3)))
            play.hold()
            if number % 10 == 9:
                play.engine.ticks.go()
                play.loop.settle()
            if number % 100 == 99:
                play.mend()
        play.mend()
        play.loop.skip(10.0)
        play.hold()
        assert not play.engine.flights
        assert play.loop.told == []
        assert play.answered > 500 * ROUNDS
        assert play.passed > 50 * ROUNDS
    finally:
        play.close()


def test_nothing_leaks() -> None:
    """As many objects and as much memory behind many rounds as before them."""
    play = Hostile(9)
    there = World()
    wrong = [mutated(b"\1\2" + HOT, random.Random(seed)) for seed in range(20)]
    wrong = [one for one in wrong if len(one) < 2000]
    usual = [number.to_bytes(2, "big") + HOT for number in range(40)]

    def again(times: int) -> tuple[int, int]:
        for _ in range(times):
            play.rng.seed(3)
            for _ in range(2):
                for number in range(60):
                    play.query(number % 20)
                play.loop.settle()
                play.answers(0.2)
                play.loop.skip(0.2)
                play.hold()
            for _ in range(5):
                there.ask(*usual, *wrong)
        play.mend()
        play.loop.skip(10.0)
        play.hold()
        for asked in play.asked:
            asked.clear()
        # What is remembered is bounded, but not by so few rounds.
        play.engine.channels.sweep(play.loop.now)
        play.engine.asks.clear()
        play.engine.cache.clear()
        gc.collect()
        return sys.getallocatedblocks(), resident()

    try:
        again(12 * ROUNDS)
        blocks, memory = again(4)
        asked = play.engine.counters.queries
        after, more = again(12 * ROUNDS)
        asked = play.engine.counters.queries - asked
        held: Any = [one for one in gc.get_objects() if isinstance(one, DatagramWaiter)]
        assert not held
        # Each datagram that is lost track of would be one more.
        assert after - blocks < 50 + asked / 10
        if not SANITIZED:
            assert more - memory < 2 << 20
    finally:
        there.close()
        play.close()
