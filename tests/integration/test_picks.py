"""An answer that Consul means to differ from time to time is not held for all.

With `a_record_limit` an agent names so many instances, picked at random each time: clients that
sort addresses are to be spread all the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.asking import At, ask, data
from tests.integration.places import addresses
from tests.integration.served import at, consul, serve

NETWORK = 37
FOUR = {f"10.1.0.{n}" for n in (1, 2, 3)}
SIX = {f"fd00::{n}" for n in (1, 2, 3)}
# Each of three is named 40 times in 120: fewer than 10 is as likely as one in 10^11.
ASKED, LEAST = 120, 10
NAMES = {
    "a service": ("web.service.consul", "A", FOUR, False),
    "over TCP": ("web.service.consul", "A", FOUR, True),
    "with a tag": ("blue.web.service.consul", "A", FOUR, False),
    "IPv6": ("six.service.consul", "AAAA", SIX, False),
}


@pytest.fixture(scope="module")
def picking(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """An agent that names one instance of each service at a time."""
    with RealCluster(
        consul_binary,
        addresses(NETWORK, 11),
        workdir=tmp_path_factory.mktemp("picking"),
        extra={"dns_config": {"a_record_limit": 1}},
    ) as cluster:
        for address in sorted(FOUR):
            cluster.register(f"web-{address[-1]}", "web", address=address, tags=["blue"])
        for address in sorted(SIX):
            cluster.register(f"six-{address[-1]}", "six", address=address)
        yield cluster


def picked(where: At, name: str, rtype: str, tcp: bool) -> Counter[str]:
    """Return how often each instance was the one named."""
    found: Counter[str] = Counter()
    for _ in range(ASKED):
        (one,) = data(ask(where, name, rtype, tcp=tcp), rtype)
        found[one] += 1
    return found


@pytest.mark.parametrize("source", ["agent", "leader"])
def test_every_client_has_a_pick_of_its_own(
    source: str, picking: RealCluster, tmp_path: Path, guard: Guard
) -> None:
    settings = {"consul": consul(*picking.agents, watch={"enabled": True, "source": source})}
    with serve(settings, tmp_path, guard) as served:
        # Until they are watched: before, all is asked anyway.
        for name, rtype, _, _ in NAMES.values():
            ask(served.at, name, rtype)
        time.sleep(1.5)
        for what, (name, rtype, instances, tcp) in NAMES.items():
            found = picked(served.at, name, rtype, tcp)
            assert set(found) == instances, what
            assert min(found.values()) >= LEAST, (what, found)
        # One that names all there are is held as ever.
        last = picking.agents[0]
        picking.register("only-1", "only", address="10.1.0.9")
        last.wait_until(lambda: data(ask(at(last), "only.service.consul")), "known")
        for _ in range(3):
            assert data(ask(served.at, "only.service.consul")) == {"10.1.0.9"}
