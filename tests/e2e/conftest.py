"""The cluster of the case, once for all scenarios, and who records what they do to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ahead import Ahead
from tests.e2e.machines import PROJECT
from tests.e2e.record import Recorder
from tests.e2e.site import Layer, Site
from tests.e2e.story import Story, table
from tests.integration import again
from tests.integration.again import pytest_runtest_protocol as pytest_runtest_protocol

RESULTS = PROJECT / "build" / "e2e"
# A test and, if it is the first one, all the hosts for it.
TIMEOUT_S = 300
# A file that is there once nobody else measures alone: those whose clients are a load wait for it,
# so long at most. All else, and setting up the cluster, goes on beside others.
TURN, TURN_S = os.environ.get("E2E_AFTER", ""), 1800 if "E2E_AFTER" in os.environ else 0
NOTHING, LAYER, CLUSTER, LOAD = range(4)

_told: list[str] = []
_stories: list[Story] = []


@pytest.fixture(scope="session", autouse=True)
def _ahead(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ahead | None]:
    """What the tests of this run need is set up while those go first that need nothing."""
    needed = {_needs(item) for item in request.session.items}
    if os.geteuid() or needed == {NOTHING}:
        yield None
        return
    whole = bool(needed & {CLUSTER, LOAD})
    ahead = Ahead(tmp_path_factory.mktemp("ahead"), _told.append, cluster=whole)
    try:
        yield ahead
    finally:
        ahead.close()


@pytest.fixture(scope="session")
def layer(_ahead: Ahead | None) -> Layer:
    """What every host of these tests stands on."""
    if _ahead is None:
        pytest.fail("hosts of their own need root: run these tests as root", pytrace=False)
    return _ahead.layer()


@pytest.fixture(scope="session")
def cluster(layer: Layer, _ahead: Ahead) -> Site:
    """All hosts, provisioned; takes about a minute."""
    return _ahead.cluster()


@pytest.fixture(scope="session")
def clients(cluster: Site) -> Recorder:
    """Clients that work whenever something is recorded."""
    while TURN and not Path(TURN).exists():
        time.sleep(0.5)
    recording = Recorder(cluster, _stories)
    recording.prepare()
    return recording


@pytest.fixture
def recorder(clients: Recorder) -> Recorder:
    """The same; all is whole when the test begins, even if the one before failed half-way."""
    clients.site.mend()
    clients.wait_whole()
    return clients


@pytest.fixture
def results() -> Path:
    """Where what was recorded is kept."""
    return RESULTS


def pytest_configure(config: pytest.Config) -> None:
    """Count the tests that are run again."""
    again.judge_run(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for setting up, and for tests that are run again; those that need most come last."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        if item.get_closest_marker("timeout") is None:
            waits = TURN_S if _needs(item) == LOAD else 0
            item.add_marker(pytest.mark.timeout(TIMEOUT_S + waits))
        again.allow_time(item)
    others = [item for item in items if item not in ours]
    items[:] = others + sorted(ours, key=_needs)


def _needs(item: pytest.Item) -> int:
    """How much has to be set up before this test."""
    names = item.fixturenames if isinstance(item, pytest.Function) else []
    for fixture, needed in (("clients", LOAD), ("cluster", CLUSTER), ("layer", LAYER)):
        if fixture in names:
            return needed
    return NOTHING


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how the cluster came up, and what the scenarios came to."""
    for title, lines in (
        ("how the cluster came up", _told),
        (
            "what each way of resolving went through",
            table(_stories).splitlines() if _stories else [],
        ),
    ):
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)
