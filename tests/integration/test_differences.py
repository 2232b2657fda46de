"""What consulfwd says is what unbound, BIND and dnsdist say behind the same recursor and Consul.

Every kind of difference stands in `differ/reasons.py` with its reason; any other fails here.
`python -m tests.integration.differ` runs more queries, or one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.conftest import NEWEST
from tests.integration.differ.questions import generate
from tests.integration.differ.reasons import ACCEPTED
from tests.integration.differ.run import Found, run
from tests.integration.differ.servers import PEERS, stage
from tests.load_lock import only_load

QUERIES, SEED = 5000, 1
# What no second look shows, at so many queries at most.
PASSING = 2

pytestmark = [NEWEST, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def found(
    cluster: RealCluster, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Found]:
    """One run, for all tests here."""
    folder = tmp_path_factory.mktemp("differ")
    with stage(folder, cluster.servers[0], guard) as made:
        # A server that got no processor for seconds would be unlike those that did.
        yield run(made, generate(SEED, QUERIES), only_load)


def test_every_difference_has_a_reason(found: Found) -> None:
    assert found.queries == QUERIES
    if faults := found.faults():
        pytest.fail(faults, pytrace=False)
    # A peer without a processor for seconds said nothing: then there is less to compare ours with.
    if len(found.strange()) > PASSING:
        pytest.fail(f"too much differs for a moment:\n{found.passed()}", pytrace=False)


def test_every_reason_is_needed(found: Found) -> None:
    used = {reason.why for _, reason in found.explained}
    assert {reason.why for reason in ACCEPTED if not reason.rare} <= used


def test_the_peers_are_compared_too(found: Found) -> None:
    servers = {reason.server for _, reason in found.explained}
    assert servers > set(PEERS)
