"""Signals raise where one waits, and nowhere else."""

from __future__ import annotations

import signal
import threading

import pytest

from consulfwd.apply.interrupts import Interrupts


def test_a_signal_is_kept_until_one_waits() -> None:
    done = []
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        done.append("between")
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            done.append("not reached")
        with interrupts.waiting():
            done.append("it raised once")
    assert done == ["between", "it raised once"]


def test_a_signal_raises_while_one_waits() -> None:
    done = []
    with Interrupts() as interrupts:
        with pytest.raises(SystemExit) as caught, interrupts.waiting():  # noqa: PT012
            signal.raise_signal(signal.SIGTERM)
            done.append("not reached")
        signal.raise_signal(signal.SIGTERM)
        done.append("after")
        with pytest.raises(SystemExit), interrupts.waiting():
            pass
    assert caught.value.code == 143
    assert done == ["after"]


@pytest.mark.parametrize("error", [None, ValueError()])
def test_a_signal_that_nobody_waited_for_raises_at_the_end(error: Exception | None) -> None:
    def work() -> None:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
            if error is not None:
                raise error

    with pytest.raises(KeyboardInterrupt):
        work()


def test_handlers_of_the_program_are_left_alone() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("ours"))
    try:
        with Interrupts() as interrupts, interrupts.waiting():
            signal.raise_signal(signal.SIGTERM)
        assert heard == ["ours"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_hear_of_no_signals() -> None:
    seen = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.waiting():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
