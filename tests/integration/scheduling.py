"""Which tests run in one process, when there are several beside each other, and in which order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

# What is measured under load waits until nobody else measures: in several processes they would only
# stand and wait for each other. They share one, whose tests measure all the time.
MEASURED = (
    "test_admin_socket.py",
    "test_day.py",
    "test_draining.py",
    "test_failover.py",
    "test_faults_real.py",
    "test_flood.py",
    "test_freshness_history.py",
    "test_network_cut.py",
    "test_orders.py",
)
# It measures for some seconds of its minute, and waits for its turn among the others.
BRIEF = ("test_differences.py",)
# Of these, several may measure beside each other, and none beside those above: they come last.
LIGHT = (
    "test_faults_cold.py",
    "test_faults_injected.py",
    "test_freshness.py",
    "test_freshness_faults.py",
    "test_workers.py",
)
# Their clusters are their own, or they take so long that it pays to start those for them, or they
# need none; those that take longest first.
ALONE = (
    "test_zone_publisher.py",
    "test_load.py",
    "test_zone_feed.py",
    "test_one_writer.py",
    "test_one_writer_cut.py",
    "test_lock_command.py",
    "test_maintain.py",
    "test_hidden_primary.py",
    "test_zone_targets.py",
    "test_zone_infoblox.py",
    "test_backends.py",
    "test_render_known.py",
    "test_primary_backup.py",
    "test_render.py",
    "test_catalog_agents.py",
    "test_watched_rights.py",
    "test_generated_signed.py",
    "test_generated_hung.py",
    "test_lint_claims.py",
    "test_audit.py",
    "test_locks.py",
    "test_sanitized.py",
)
# The name of the group in one process, and what the names of those at the end begin with.
TOGETHER, LAST = "measured", "light"
# If this names a file, that is made when the last of what is measured alone is over.
OVER = "E2E_AFTER"


def group(nodeid: str) -> str:
    """The tests on the clusters of one generation belong together: each process starts its own.

    So do those of a file that is `ALONE`, by generation, and those that are `LIGHT`; all that is
    `MEASURED`; and all others of a file.
    """
    file = _file(nodeid)
    if file.endswith(MEASURED):
        return TOGETHER
    version = _version(nodeid)
    if file.endswith(LIGHT):
        return f"{LAST} {version}".strip()
    if not version:
        return file
    return f"{file} {version}" if file.endswith(ALONE) else version


def turn(scope: str) -> tuple[int, int]:
    """Return less for a group that is to begin sooner: what takes longest does."""
    if scope == TOGETHER or scope.startswith("consul-"):
        return 0, 0
    name = scope.split(" ")[0].rpartition("/")[2]
    return 2 if name == LAST else 1, ALONE.index(name) if name in ALONE else len(ALONE)


class ByCluster(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, each to the first process that is free."""

    def schedule(self) -> None:
        super().schedule()
        self._measured = {
            one for one in self.collection or () if _file(one).endswith((*MEASURED, *BRIEF))
        }

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        self._measured.discard(self.registered_collections[node][item_index])
        if not self._measured and (over := os.environ.get(OVER)):
            Path(over).touch()
        super().mark_test_complete(node, item_index, duration)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        scope = min(self.workqueue, key=turn)
        unit = self.workqueue[scope]
        # One cluster after the other.
        self.workqueue[scope] = {one: unit[one] for one in sorted(unit, key=_version)}
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _version(nodeid: str) -> str:
    """The generation of Consul a test is on; "" where it needs none."""
    found = re.search(r"::\w+\[(?:.*-)?(consul-(?:[\d.]+|debian|modern))[-\]]", nodeid)
    return found[1] if found else ""
