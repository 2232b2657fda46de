"""Development agents in a thread of their own: the command line runs an event loop itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from consulfwd.dev import DevAgent, DevCluster
from tests.net.world import EXAMPLES

T = TypeVar("T")


class Background:
    """A running cluster; a context manager for plain code."""

    def __init__(self, *, http: bool = False) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.cluster = DevCluster(EXAMPLES, http=http)

    def __enter__(self) -> Background:
        self._thread.start()
        self.do(self.cluster.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.do(self.cluster.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the cluster's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    @property
    def agents(self) -> list[DevAgent]:
        return self.cluster.agents

    @property
    def names(self) -> list[str]:
        """The agents as `--agent` takes them."""
        return [f"{agent.address}:{agent.dns_port}" for agent in self.agents]
