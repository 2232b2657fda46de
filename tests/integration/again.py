"""Runs a test again that failed while the machine's host ran others instead of it.

Such a failure says something of the host: an agent given half a second to answer was not on any
core then. It is waited a while for the host to be quiet, and the test is run once more. More than
`MOST` such tests in a run fail the run: then either the machine is no place to measure, or what
is tested is at fault. Each is named at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from _pytest.runner import runtestprotocol

from tests import load_lock
from tests.stolen import stolen_s

# How many tests of a run may be run again.
MOST = 5
# What was stolen: so many seconds for each second that the test took.
SHARE = 0.03
# Quiet is a second with less stolen than this share; it is waited for so long (seconds) at most.
QUIET, PATIENCE_S = 0.1, 20.0
# How long a test may take, and how long it may wait besides until no other process measures.
TIMEOUT_S, TURN_S = 150, 900
# The names of what a report carries along to the process that tells of it.
AGAIN, WAITED = "run again", "waited"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run one test, and report the last time it was run."""
    where = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**where)
    waited = load_lock.waited_s()
    reports, why = _run(item, nextitem)
    if why:
        _wait_for_quiet()
        assert isinstance(item, pytest.Function)
        item._initrequest()  # its fixtures, anew
        reports, _ = _run(item, nextitem)
    carrier = reports[-1]
    if why:
        carrier.user_properties.append((AGAIN, f"{item.nodeid}: {why}"))
    if (waited := load_lock.waited_s() - waited) > 0:
        carrier.user_properties.append((WAITED, round(waited, 1)))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(**where)
    return True


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> tuple[list[pytest.TestReport], str]:
    """The reports, and why the test is to be run again: "" when it is not."""
    began, stolen, waited = time.monotonic(), stolen_s(), load_lock.waited_s()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    took = time.monotonic() - began - (load_lock.waited_s() - waited)
    stolen = stolen_s() - stolen
    failed = [report for report in reports if report.failed]
    if not failed or stolen < SHARE * took:
        return reports, ""
    return reports, f"{stolen:.1f} s of {took:.0f} s stolen: {_first_line(failed[0])}"


def _wait_for_quiet() -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        before = stolen_s()
        time.sleep(1.0)
        if stolen_s() - before < QUIET:
            return


def _first_line(report: pytest.TestReport) -> str:
    """The first line of what went wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash is not None else report.longrepr).splitlines()
    return f"{report.when}: {lines[0][:160] if lines else ''}"


def allow_time(item: pytest.Item) -> None:
    """Give a test the time for both its tries, and for its turn: the timeout is for all of it."""
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker is not None else TIMEOUT_S
    item.add_marker(pytest.mark.timeout(2 * seconds + PATIENCE_S + TURN_S), append=False)


def told(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Which tests were run again, and what was stolen meanwhile."""
    return [str(value) for one in reports for name, value in one.user_properties if name == AGAIN]


class Judge:
    """Fails a run in which too many tests were run again; a plugin."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what tells of a second run."""
        if told([report]):
            self.reports.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run that was fine but for this is no good run."""
        if len(self.reports) > MOST and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each."""
        lines = told(self.reports)
        if lines:
            many = f"; that is more than {MOST}: THE RUN FAILS" if len(lines) > MOST else ""
            terminalreporter.section(f"run again: the host ran others meanwhile{many}")
        for line in lines:
            terminalreporter.line(line)


def judge_run(config: pytest.Config) -> None:
    """Have one `Judge` where the reports of all processes arrive."""
    if not hasattr(config, "workerinput") and not config.pluginmanager.has_plugin(Judge.__name__):
        config.pluginmanager.register(Judge(), Judge.__name__)
