"""The cluster of the case, once for all scenarios, and who records what they do to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.machines import PROJECT
from tests.e2e.record import Recorder
from tests.e2e.site import Layer, Site, lowest, site
from tests.e2e.story import Story, table
from tests.integration import again
from tests.integration.again import pytest_runtest_protocol as pytest_runtest_protocol

RESULTS = PROJECT / "build" / "e2e"
# A test and, if it is the first one, all the hosts for it.
TIMEOUT_S = 300
Tell = Callable[[str], None]

_told: list[str] = []
_stories: list[Story] = []


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    """What every host of these tests stands on."""
    if os.geteuid():
        pytest.fail("hosts of their own need root: run these tests as root", pytrace=False)
    return lowest(tmp_path_factory.mktemp("layer"), _told.append)


@pytest.fixture(scope="session")
def cluster(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All hosts, provisioned; takes about a minute."""
    with site(tmp_path_factory.mktemp("site"), layer, _told.append) as up:
        yield up


@pytest.fixture(scope="session")
def clients(cluster: Site) -> Iterator[Recorder]:
    """Clients at work for all scenarios."""
    recording = Recorder(cluster, _stories)
    with recording.running():
        yield recording


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
    """Allow for setting up, and for tests that are run again."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            again.allow_time(item)


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
