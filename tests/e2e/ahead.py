"""Sets up beside the first tests what the later ones need: a layer for hosts, the cluster on it.

What belongs here is that it happens beside them, and that nothing of it is left when they end
early. How it is set up is `site`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.e2e.site import Layer, Site, booted, lowest


class Ahead:
    """One thread at work, until `close`; `tell` hears from it what took how long."""

    def __init__(self, folder: Path, tell: Callable[[str], None], *, cluster: bool) -> None:
        self._folder = folder
        self._tell = tell
        self._stack = contextlib.ExitStack()
        self._pool = ThreadPoolExecutor(1)
        self._hosts: Site | None = None
        self._layer = self._pool.submit(self._make_layer)
        self._cluster: Future[Site] | None = None
        if cluster:
            self._cluster = self._pool.submit(self._set_up)

    def layer(self) -> Layer:
        """Return the layer when it is made; raises what kept it from that."""
        return self._layer.result()

    def cluster(self) -> Site:
        """Return the cluster when all of it is up; raises what kept it from that."""
        assert self._cluster is not None
        return self._cluster.result()

    def close(self) -> None:
        """End all of it; what is still being set up is cut short."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._hosts is not None:
            for machine in self._hosts.machines.values():
                machine.kill()
        self._pool.shutdown()
        self._stack.close()

    def _make_layer(self) -> Layer:
        (self._folder / "layer").mkdir()
        return lowest(self._folder / "layer", self._tell)

    def _set_up(self) -> Site:
        made = booted(self._folder / "site", self._layer.result(), self._tell)
        self._hosts = self._stack.enter_context(made)
        self._hosts.set_up()
        return self._hosts
