"""Names spelled by chance on their way to servers off the host: nobody who asks may notice."""

from __future__ import annotations

import dns.message
import dns.name
import dns.rdataclass
import dns.rrset

from consulfwd.core.spelling import CHANGED, ENOUGH, UNHEARD
from consulfwd.net.pool import PortPool
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.test_recursors import off_host
from tests.net.world import World, until, world

MANY = {(f"name{number}.example.test", "A"): [f"A 192.0.2.{number}"] for number in range(200)}


class Heard(Recursor):
    """A recursor that notes how names are spelled: it repeats that, or says them in small letters.

    `deaf` is one that nothing in mixed letters gets through to.
    """

    async def __aenter__(self) -> Heard:
        await self.start()
        return self

    def __init__(self) -> None:
        super().__init__(MANY)
        self.spelled: list[str] = []
        self.small = self.deaf = False

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.spelled.append(name)
        if self.deaf and name != name.lower():
            return
        if self.small:
            small = dns.name.from_text(name.lower())
            query.question = [dns.rrset.RRset(small, dns.rdataclass.IN, query.question[0].rdtype)]
            data = query.to_wire()
        super().datagram_received(data, addr)

    @property
    def mixed(self) -> list[bool]:
        """Of each query, whether it was spelled in mixed letters."""
        return [name != name.lower() for name in self.spelled]


def pool_of(here: World) -> PortPool:
    (upstream,) = (one for one in here.engine.upstreams() if not one.is_agent)
    pool = here.engine.channels.direct(upstream)
    assert isinstance(pool, PortPool)
    return pool


async def ask(here: World, *numbers: int) -> None:
    for number in numbers:
        reply = await here.ask(f"name{number}.example.test")
        assert (reply.rcode, reply.data) == ("NOERROR", [f"192.0.2.{number}"])


async def test_who_repeats_names_is_asked_in_mixed_letters() -> None:
    async with Heard() as recursor, world(recursor) as here, here.udp() as client:
        off_host(here)
        await ask(here, *range(ENOUGH))
        assert pool_of(here).speller.known
        # By relays, by lookups; what is asked again is recognised all the same.
        for number in range(40):
            client.send(question(f"name{number}.example.test", ident=number))
        replies = [parse(await client.receive()) for _ in range(40)]
        assert {one.data[0] for one in replies} == {f"192.0.2.{number}" for number in range(40)}
        # A name of fourteen letters is small by chance once in 16,384.
        assert all(recursor.mixed)
        assert len(set(recursor.spelled)) == len(recursor.spelled)
        assert (here.counters.false_replies, here.counters.evaded) == (0, 0)


async def test_clients_have_their_own_spelling() -> None:
    async with Heard() as recursor, world(recursor) as here, here.udp() as client:
        off_host(here)
        await ask(here, *range(ENOUGH))
        for number, name in enumerate(("NAME50.exaMPLE.test", "name50.example.TEST")):
            data = question(name, ident=number)
            client.send(data)
            reply = await client.receive()
            end = 12 + len(name) + 2 + 4
            assert reply[12:end] == data[12:end]
            # The answer's owner is the question, or says it as the client does or small.
            told = dns.message.from_wire(reply).answer[0].name.to_text()
            assert told in (f"{name}.", f"{name.lower()}.")


async def test_who_says_them_in_small_letters_is_asked_so() -> None:
    async with Heard() as recursor, world(recursor) as here:
        off_host(here)
        recursor.small = True
        await ask(here, *range(20))
        # One was tried, and its reply was as good as any.
        assert recursor.mixed == [True] + [False] * 19
        assert {one.transport for one in recursor.asked} == {"udp"}
        assert (here.counters.false_replies, here.counters.evaded) == (0, 0)


async def test_who_does_not_repeat_them_any_more_is_asked_over_tcp_a_few_times() -> None:
    """It may be somebody who guessed all but the letters; or another server in its place."""
    async with Heard() as recursor, world(recursor) as here:
        off_host(here)
        await ask(here, *range(ENOUGH))
        recursor.small = True
        recursor.asked.clear()
        await ask(here, *range(10, 20))
        assert [one.transport for one in recursor.asked] == ["udp", "tcp"] * CHANGED + [
            "udp"
        ] * (10 - CHANGED)
        assert here.counters.evaded == CHANGED
        assert [one.state.value for one in here.engine.upstreams() if not one.is_agent] == ["up"]


async def test_where_tcp_is_not_to_be_had_either_it_is_asked_in_small_letters() -> None:
    async with Heard() as recursor, world(recursor) as here:
        off_host(here)
        await ask(here, *range(ENOUGH))
        recursor.small = True
        for server in recursor._servers:
            server.close()
        await ask(here, 10)
        assert recursor.mixed[-2:] == [True, False]


async def test_a_guess_of_all_but_the_letters_is_not_taken() -> None:
    async with Heard() as recursor, world(recursor) as here:
        off_host(here)
        await ask(here, *range(ENOUGH))

        def forge(query: dns.message.Message) -> list[bytes]:
            name = query.question[0].name.to_text().lower()
            small = dns.message.make_query(name, "A", id=query.id)
            poison = dns.message.make_response(small)
            poison.answer = [dns.rrset.from_text(name, 3600, "IN", "A", "192.0.2.66")]
            return [poison.to_wire()]

        recursor.forge = forge
        await ask(here, *range(50, 51))
        assert here.counters.evaded == 1
        # Whoever got so far by luck has to guess the letters of the next one, too.
        recursor.forge = lambda query: []
        recursor.spelled.clear()
        await ask(here, *range(60, 80))
        assert all(recursor.mixed)


async def test_mixed_letters_that_get_lost_cost_no_answer() -> None:
    async with Heard() as recursor, world(recursor, query={"deadline": 2.0}) as here:
        off_host(here)
        recursor.deaf = True
        # The first is tried, and asked again; all others are asked in small letters meanwhile.
        await ask(here, *range(10))
        assert sum(recursor.mixed) == 1
        assert here.counters.failed == 0


async def test_mixed_letters_that_begin_to_get_lost_cost_no_answer() -> None:
    async with Heard() as recursor, world(recursor, query={"deadline": 2.0}) as here:
        off_host(here)
        await ask(here, *range(ENOUGH))
        recursor.deaf = True
        recursor.spelled.clear()
        await ask(here, *range(10, 20))
        assert sum(recursor.mixed) == UNHEARD
        assert here.counters.failed == 0


async def test_it_can_be_turned_off() -> None:
    async with Heard() as recursor, world(recursor, query={"mixed_case": False}) as here:
        off_host(here)
        await ask(here, *range(10))
        await until(lambda: len(recursor.spelled) >= 10)
        assert not any(recursor.mixed)
