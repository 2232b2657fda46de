"""What every test may use, and what makes a run the same however it is started.

The pure parts need nothing from here.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from consulfwd.dev import cluster
from tests import loopback, unending
from tests.started import heard, of_this_tree, without_foreign

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

heard()
without_foreign(os.environ)
of_this_tree(os.environ, ROOT)
unending.let_go()
cluster.LOOPBACK = loopback.OWN

# Tests must not fail because a machine is slow, nor differ from run to run; `make fuzz` is the
# place to look for more. Every setting that Hypothesis itself would choose by whether it is run by
# a CI system is given here.
SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "repeatable",
    deadline=None,
    suppress_health_check=SLOW,
    derandomize=True,
    database=None,
    print_blob=False,
)
settings.register_profile(
    "random",
    deadline=None,
    suppress_health_check=SLOW,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "repeatable")


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the source tree."""
    return ROOT


def pytest_collection() -> None:
    """Thousands of tests are made, and none of them is garbage."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What stays to the end is not looked through for garbage ever again."""
    if loopback.OWN != loopback.SHARED:
        named = [one.nodeid for one in session.items if loopback.OWN in one.nodeid]
        assert not named, f"processes beside each other must name tests alike: {named}"
    gc.freeze()
    gc.enable()


_ended_with = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What the run comes to is known."""
    session.config.stash[_ended_with] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The run is over, whatever still goes on in it."""
    if _ended_with in config.stash:
        unending.leave(config.stash[_ended_with])
