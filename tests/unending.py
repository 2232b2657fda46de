"""A test that fails while something blocks in a thread of its own fails, and never hangs the run.

An event loop waits at its end for what it runs in threads (`asyncio.to_thread`), and Python for all
threads there are. A reader of a stream without an end, whose test has failed before that had one,
is waited for for ever, and no timeout of a test covers that.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

# How long (seconds) a loop waits for such threads at its end, and the run for all.
LOOP_S, RUN_S = 5.0, 10.0


class Beside(ThreadPoolExecutor):
    """Runs each call in a thread of its own, which nobody has to wait for."""

    def __init__(self) -> None:
        super().__init__(1)
        self._running: set[threading.Thread] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Begin a call."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                if future.set_running_or_notify_cancel():
                    try:
                        result = fn(*args, **options)
                    except BaseException as error:
                        _told(future.set_exception, error)
                    else:
                        _told(future.set_result, result)
            finally:
                self._running.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="beside a loop", daemon=True)
        self._running.add(thread)
        thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what runs, so long at most."""
        ends = time.monotonic() + LOOP_S
        for thread in list(self._running) if wait else ():
            thread.join(max(ends - time.monotonic(), 0))
        super().shutdown(wait=False)


def _told(tell: Callable[[Any], None], value: Any) -> None:
    try:
        tell(value)
    except RuntimeError:
        # The loop that asked is closed.
        return


_usual = BaseEventLoop.run_in_executor


def _run(loop: Any, executor: Any, func: Any, *args: Any) -> Any:
    if executor is None and loop._default_executor is None:
        loop.set_default_executor(Beside())
    return _usual(loop, executor, func, *args)


def let_go() -> None:
    """Have all event loops of this process run what blocks in threads that are not waited for."""
    assert issubclass(asyncio.SelectorEventLoop, BaseEventLoop)
    BaseEventLoop.run_in_executor = _run  # type: ignore[method-assign, assignment]


def leave(status: int) -> None:
    """End the process where threads would keep it for ever, and say what they do."""
    ends = time.monotonic() + RUN_S
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(max(ends - time.monotonic(), 0))
            if thread.is_alive():
                print(f"{thread.name} does not end:", file=sys.__stderr__)
                for stream in filter(None, (sys.stdout, sys.stderr, sys.__stdout__)):
                    stream.flush()
                faulthandler.dump_traceback(all_threads=True)
                os._exit(status or 1)
