"""An agent of a real cluster is taken out for work while clients ask all the time, and killed then.

No query has an error or is late, and none is asked of it: neither while it is well nor when it is
gone. The server is one of this process, so that it can be seen what it asked.
"""

from __future__ import annotations

import asyncio
import random
import time

from consulfwd.core.health import DRAINED
from consulfwd.dev.real import RealCluster
from consulfwd.ops.taking import WatchedServer
from consulfwd.server import Server
from tests.coreless import coreless_s
from tests.integration.conftest import NEWEST
from tests.integration.faulted import QUESTIONS, consul
from tests.load_lock import only_load
from tests.net.messages import parse, question
from tests.net.world import UdpClient, settings, until

# Queries a second: few, so that what is late is so for a reason.
RATE, PAUSE_S = 300, 0.7
LATE_S = 1.0
GOOD = ("NOERROR", "NXDOMAIN")


class Client:
    """Asks all the time, one query after the other in turn, until it is `over`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.over = False
        self.answered = 0
        self.errors: list[tuple[str, str, str]] = []
        # Without what this process, the server's as well, was ready to go on and had no core.
        self.slowest = 0.0

    async def run(self) -> None:
        async with UdpClient(self._server.endpoints[0]) as client:
            number = 0
            while not self.over:
                asked = QUESTIONS[number % len(QUESTIONS)]
                number += 1
                began, coreless = time.monotonic(), coreless_s()
                client.send(question(*asked))
                rcode = parse(await client.receive()).rcode
                self.answered += 1
                if rcode not in GOOD:
                    self.errors.append((*asked, rcode))
                took = time.monotonic() - began - (coreless_s() - coreless)
                self.slowest = max(self.slowest, took)
                await asyncio.sleep(1 / RATE)


@NEWEST
def test_nobody_notices(cluster: RealCluster) -> None:
    with only_load(light=True):
        asyncio.run(drained_and_killed(cluster))


async def drained_and_killed(cluster: RealCluster) -> None:
    follower = next(one for one in cluster.servers if one is not cluster.leader())
    # Who is killed does not lead: an election is another matter.
    ordered = [follower, *(one for one in cluster.servers if one is not follower)]
    section = consul(*ordered, watch={"enabled": True}, reverse=["10.0.0.0/8"])
    server = Server(settings(None, consul=section), rng=random.Random(1))
    watched = WatchedServer(server)
    await server.start()
    client = Client(server)
    asking = asyncio.ensure_future(client.run())
    try:
        drained = server.engine.upstreams()[0]

        def at_work() -> bool:
            seen = watched.snapshot().resolver
            assert seen is not None
            return drained.sent > 0 and any(one.carrier == drained.name for one in seen.watches)

        await until(at_work)
        await asyncio.sleep(PAUSE_S)
        watched.order("drain", {"server": drained.name})

        def settled() -> bool:
            seen = watched.snapshot().resolver
            assert seen is not None
            return not seen.upstreams[0].waiting

        await until(settled)
        sent = drained.sent
        before = client.answered
        await asyncio.sleep(PAUSE_S)
        assert drained.sent == sent
        seen = watched.snapshot().resolver
        assert seen is not None
        assert seen.watches
        assert all(one.carrier != drained.name for one in seen.watches)
        follower.kill()
        await asyncio.sleep(2 * PAUSE_S)
        # Of a busy machine there is less.
        await until(lambda: client.answered > before + 20)
        assert drained.sent == sent
        seen = watched.snapshot().resolver
        assert seen is not None
    finally:
        client.over = True
        await asyncio.gather(asking)
        await server.stop()
    assert client.errors == []
    assert server.engine.counters.failed == server.engine.counters.stale == 0
    assert client.slowest < LATE_S
    # Nobody asked it, so nobody noticed that it is gone. Of the others one may be slow for a moment
    # on a busy machine, which is told.
    told = [one for one in seen.changes if one.server == drained.name]
    assert [(one.before, one.after) for one in told] == [("up", "up")], told
    assert told[0].why.startswith(DRAINED)
