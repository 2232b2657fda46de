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

RESULTS = PROJECT / "build" / "e2e"
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
def recorder(cluster: Site) -> Iterator[Recorder]:
    """Clients at work for all scenarios."""
    recording = Recorder(cluster, _stories)
    with recording.running():
        yield recording


@pytest.fixture
def results() -> Path:
    """Where what was recorded is kept."""
    return RESULTS


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
