"""Runs a test again that failed while the machine's host ran others instead of it.

Such a failure says something of the host: an agent given half a second to answer was not on any
core then. It is waited a while for the host to be quiet. What fails without that, or five times,
fails. Every test that was run again is told at the end.
"""

from __future__ import annotations

import time

import pytest
from _pytest.runner import runtestprotocol

from consulfwd.dev.stolen import stolen_s

TRIES = 5
# What was stolen: so many seconds for each second that the test took.
SHARE = 0.03
# Quiet is a second with less stolen than this share; it is waited for so long (seconds) at most.
QUIET, PATIENCE_S = 0.1, 20.0
TIMEOUT_S = 150

_told: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run one test, and report the last time it was run."""
    where = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**where)
    reports: list[pytest.TestReport] = []
    for more in reversed(range(TRIES)):
        began, stolen = time.monotonic(), stolen_s()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        took, stolen = time.monotonic() - began, stolen_s() - stolen
        if not more or stolen < SHARE * took or not any(report.failed for report in reports):
            break
        _wait_for_quiet()
        _told.append(f"{item.nodeid}: {stolen:.1f} s of {took:.0f} s stolen: {_why(reports)}")
        assert isinstance(item, pytest.Function)
        item._initrequest()  # its fixtures, anew
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(**where)
    return True


def _wait_for_quiet() -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        before = stolen_s()
        time.sleep(1.0)
        if stolen_s() - before < QUIET:
            return


def _why(reports: list[pytest.TestReport]) -> str:
    """The first line of what went wrong."""
    failed = next(report for report in reports if report.failed)
    crash = getattr(failed.longrepr, "reprcrash", None)
    lines = str(crash.message if crash is not None else failed.longrepr).splitlines()
    return f"{failed.when}: {lines[0][:160] if lines else ''}"


def allow_time(item: pytest.Item) -> None:
    """Give a test the time for all its tries: the timeout is for them together."""
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker is not None else TIMEOUT_S
    item.add_marker(pytest.mark.timeout(TRIES * (seconds + PATIENCE_S)), append=False)


def told() -> list[str]:
    """Which tests were run again, and what was stolen meanwhile."""
    return _told
