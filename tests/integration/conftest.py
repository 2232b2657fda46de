"""Real servers for the tests: Consul clusters of every installed version, BIND, unbound.

Each starts once per version and test run, when the first test asks for it. After each test
whatever it froze or killed is brought back, so that tests do not depend on each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, find_binaries
from tests.integration import again
from tests.integration.again import pytest_runtest_protocol as pytest_runtest_protocol
from tests.integration.places import addresses
from tests.integration.recursors import Recursor, start_bind, start_unbound
from tests.integration.services import DEFINITIONS, fill

CONSUL = find_binaries()


def generation(version: str) -> str:
    """Debian's, of before streaming; or modern, of after."""
    return "modern" if [int(n) for n in re.findall(r"\d+", version)] >= [1, 10] else "debian"


# A generation that is missing is a version of its own, for which every test fails.
MISSING = sorted({"debian", "modern"} - {generation(version) for version in CONSUL})
VERSIONS = [*CONSUL, *MISSING]


def on(versions: list[str]) -> pytest.MarkDecorator:
    """For a test that is slow and does not depend on what the generations differ in."""
    return pytest.mark.parametrize("consul_binary", versions, indirect=True, ids="consul-{}".format)


OLDEST, NEWEST = on(VERSIONS[:1]), on(VERSIONS[-1:])

_living: list[RealCluster | Recursor] = []


@pytest.fixture(scope="session", params=VERSIONS, ids=[f"consul-{name}" for name in VERSIONS])
def consul_binary(request: pytest.FixtureRequest) -> Path:
    """The executable of each version in turn."""
    if request.param in MISSING:
        pytest.fail(
            f"the {request.param} generation of Consul is not installed:"
            f" scripts/install-consul {request.param}",
            pytrace=False,
        )
    return CONSUL[request.param]


@pytest.fixture(scope="session")
def cluster(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three servers, with everything of `services`."""
    yield from _filled(
        RealCluster(
            consul_binary,
            addresses(11, 11, 12, 13),
            workdir=tmp_path_factory.mktemp("cluster"),
            definitions=DEFINITIONS,
        )
    )


@pytest.fixture(scope="session")
def client_cluster(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Three servers and a client agent; the usual layout."""
    yield from _filled(
        RealCluster(
            consul_binary,
            addresses(21, 11, 12, 13),
            client_address=addresses(21, 14)[0],
            workdir=tmp_path_factory.mktemp("client"),
            definitions=DEFINITIONS,
        )
    )


@pytest.fixture(scope="session")
def acl_cluster(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Three servers with ACLs on; DNS may see all but `hidden`."""
    yield from _filled(
        RealCluster(
            consul_binary,
            addresses(31, 11, 12, 13),
            acl=True,
            workdir=tmp_path_factory.mktemp("acl"),
            definitions=DEFINITIONS,
        )
    )


def _filled(cluster: RealCluster) -> Iterator[RealCluster]:
    with cluster:
        fill(cluster)
        _living.append(cluster)
        yield cluster
        _living.remove(cluster)


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def bind(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recursor]:
    """BIND on 127.0.0.1 and a free port: the root and the test zones, with a query log."""
    recursor = start_bind(tmp_path_factory.mktemp("bind"), guard)
    _living.append(recursor)
    yield recursor
    _living.remove(recursor)
    recursor.kill()


@pytest.fixture(scope="session")
def unbound(
    guard: Guard, bind: Recursor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recursor]:
    """unbound on 127.0.0.1 and free ports, plain and TLS, with BIND's zones."""
    recursor = start_unbound(tmp_path_factory.mktemp("unbound"), guard, bind.port)
    _living.append(recursor)
    yield recursor
    _living.remove(recursor)
    recursor.kill()


@pytest.fixture(autouse=True)
def _brought_back() -> Iterator[None]:
    yield
    for server in _living:
        server.heal()


def pytest_configure(config: pytest.Config) -> None:
    """Count the tests that are run again."""
    again.judge_run(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for tests that are run again."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            again.allow_time(item)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests belong into one process, where there are several."""
    from tests.integration.scheduling import ByCluster

    return ByCluster(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, passed or not: figures say more than a dot."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    titles = {
        "failover": "failover under load",
        "freshness": "freshness",
        "clients": "client libraries",
    }
    for kind, title in titles.items():
        lines = [
            str(value)
            for report in reports
            for name, value in report.user_properties
            if name == kind and report.when == "call"
        ]
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.line(line)
