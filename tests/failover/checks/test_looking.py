"""Whose fault it is that a target did not answer, and that a check keeps what it promises."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
import time

import pytest

from consulfwd.failover.checks import looking, route
from consulfwd.failover.checks.looking import Progress, TimedCheck
from consulfwd.failover.model import Address, Result
from tests.failover.checks.targets import HERE, told

OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR


class Look:
    """Raises what it is given, or waits for ever."""

    def __init__(self, error: Exception | None, *, stubborn: bool = False) -> None:
        self._error = error
        self._stubborn = stubborn

    async def look(self, address: Address, progress: Progress) -> str:
        if self._error is not None:
            raise self._error
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise
                self._stubborn = False


@pytest.mark.parametrize(
    ("number", "cut", "result"),
    [
        (errno.ECONNREFUSED, "eth0 is down", FAIL),
        (errno.ECONNRESET, "", FAIL),
        (errno.EHOSTUNREACH, "", FAIL),
        (errno.ETIMEDOUT, "", FAIL),
        (errno.EHOSTUNREACH, "eth0 has no carrier", ERROR),
        (errno.ENETUNREACH, "", ERROR),
        (errno.EMFILE, "", ERROR),
        (errno.EADDRNOTAVAIL, "", ERROR),
        (errno.EPERM, "", ERROR),
    ],
)
async def test_whose_fault_it_is(
    number: int, cut: str, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "cut", lambda ip: cut)
    outcome = await TimedCheck(Look(OSError(number, "")), 1.0)(HERE)
    assert outcome.result is result
    assert outcome.reason.startswith("could not ask: ") is (result is ERROR)


async def test_who_is_late_is_not_to_blame_where_our_line_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(route, "cut", lambda ip: "the gateway 10.0.0.1 does not answer")
    outcome = await TimedCheck(Look(None), 0.01)(HERE)
    assert told(outcome) == (ERROR, "could not ask: the gateway 10.0.0.1 does not answer")


async def test_an_error_of_our_own_is_no_word_on_the_target(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        outcome = await TimedCheck(Look(KeyError("x")), 1.0)(HERE)
    assert told(outcome) == (ERROR, "an error of our own: KeyError")
    assert "Traceback" in caplog.text


async def test_whoever_held_up_this_host_is_not_the_target() -> None:
    class Held(Look):
        async def look(self, address: Address, progress: Progress) -> str:
            # As where the machine stands still.
            time.sleep(looking.STALLED + 0.02)
            return await super().look(address, progress)

    outcome = await TimedCheck(Held(None), 0.01)(HERE)
    assert outcome.result is ERROR
    assert outcome.reason.startswith("this host was held up for ")


class Held:
    """Answers 30 ms after this host stood still for 120 ms."""

    async def look(self, address: Address, progress: Progress) -> str:
        time.sleep(0.12)
        await asyncio.sleep(0.03)
        return "well"


async def test_while_this_host_stands_still_no_time_passes_for_a_target() -> None:
    outcome = await TimedCheck(Held(), 0.12)(HERE)
    assert (outcome.result, outcome.reason) == (OK, "well")


async def test_who_does_not_end_when_told_is_told_again() -> None:
    outcome = await TimedCheck(Look(None, stubborn=True), 0.01)(HERE)
    assert told(outcome) == (FAIL, "no answer within 10 ms (connecting)")
    assert outcome.took < 0.5


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLError(1, "x"), "TLS failed"),
        (OSError("Multiple exceptions: refused"), "Multiple exceptions: refused"),
    ],
)
def test_errors_without_a_number(error: OSError, reason: str) -> None:
    assert looking.judged(error, "127.0.0.1") == (FAIL, reason)
