"""The case, end to end: what is broken on the cluster, and that no program is left without names.

The scenarios share one running cluster; each begins with it whole. What each of the three ways of
resolving went through is recorded; what is asserted is what consulfwd promises, and that no row
that was acknowledged is lost.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e import icinga
from tests.e2e.judge import AGAIN_S, LEFT, judge
from tests.e2e.record import HOST, Recorder, harmed, mended, seen
from tests.e2e.site import ADDRESSES, GALERA, Site, wait
from tests.e2e.story import Story

# Consul looks every 10 s, for 1 s; its servers take up to so long to hold a silent one for dead.
CHECKED_S, FAILED_S, BACK_S = 10.0 + 1.0, 45.0, 90.0
NOISE_S = 4.0
HELD_S = 5.0
# Icinga runs consulfwd's plug-ins each 20 s, and its masters tell each other. What they say may be
# whole a run later only: a recursor counts as down once somebody has asked it.
CHECK_S = 60.0
OK, WARNING = 0, 1


def away(recorder: Recorder, story: Story, within: float) -> None:
    """Return when the bad node has left the answer."""

    def gone() -> bool:
        given = recorder.given()
        return bool(given) and story.bad not in given

    wait(gone, f"{story.bad} out of the answer", within)
    seen(story, LEFT)


def away_and_back(
    recorder: Recorder, story: Story, within: float, mend: Callable[[], None], text: str
) -> None:
    """Return when the bad node has left the answer, was mended, and all is whole again."""
    away(recorder, story, within)
    time.sleep(HELD_S)
    mend()
    mended(story, text)
    wait(lambda: story.bad in recorder.given(), f"{story.bad} in the answer again", BACK_S)
    seen(story, "back in the answer")
    recorder.wait_whole()


def in_icinga(cluster: Site, state: int, *texts: str) -> None:
    """Return when consulfwd's plug-ins, as Icinga runs them, tell this state, and these texts."""
    found: dict[str, icinga.CheckState] = {}

    def told() -> bool:
        found.clear()
        for service in (icinga.SERVICE_CHECK, icinga.AGENTS_CHECK):
            states = icinga.told(cluster, service)
            found.update((f"{service}, {host}", one) for host, one in states.items())
        said = "\n".join(one.output for one in found.values())
        wanted = len(found) == 3 and all(one.state == state for one in found.values())
        return wanted and all(text in said for text in texts)

    def otherwise() -> str:
        return f"state {state} of consulfwd's plug-ins in Icinga, saying {texts}; now {found}"

    wait(told, otherwise, CHECK_S)


def test_the_database_server_is_killed(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = "galera2"
    with recorder.story("mysqld", "mysqld killed", results, bad=ADDRESSES[node]) as story:
        cluster.stop(node, "mariadb")
        harmed(story, "mysqld killed")
        mend = functools.partial(cluster.start, node, "mariadb")
        away_and_back(recorder, story, CHECKED_S + NOISE_S, mend, "started")
    judge(story, cluster)


def test_a_node_is_cut_off(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = "galera1"
    in_icinga(cluster, OK, "3 of 3 instances healthy", "3 of 3 agents up; 3 of 3 recursors up")

    def mend() -> None:
        # Of the plug-ins, which know by now.
        not_up = f"not up: {ADDRESSES[node]}:8600, {ADDRESSES[node]}:53"
        in_icinga(cluster, WARNING, "galeradb: 2 of 3 instances healthy", not_up)
        cluster.lan.mend(cluster.lan.hosts[node])

    with recorder.story("node", "A node cut off", results, bad=ADDRESSES[node]) as story:
        cluster.lan.cut(cluster.lan.hosts[node])
        harmed(story, "cut off")
        away_and_back(recorder, story, FAILED_S, mend, "plugged in")
    judge(story, cluster)
    in_icinga(cluster, OK)


def test_the_leader_of_consul_is_killed(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = cluster.leader()
    with recorder.story("leader", "Consul's leader killed", results, bad=ADDRESSES[node]) as story:
        cluster.stop(node, "consul")
        harmed(story, f"{node}'s Consul killed")
        wait(lambda: cluster.leader() not in ("", node), "another leader", FAILED_S)
        seen(story, "another leads")
        mend = functools.partial(cluster.start, node, "consul")
        away_and_back(recorder, story, FAILED_S, mend, "started")
    judge(story, cluster)


def test_bind_is_stopped(cluster: Site, recorder: Recorder, results: Path) -> None:
    with recorder.story("bind", "BIND stopped", results) as story:
        cluster.machines["galera1"].sh("systemctl stop named")
        harmed(story, "galera1's BIND stopped")
        time.sleep(2 * HELD_S)
        cluster.machines["galera1"].sh("systemctl start named")
        mended(story, "started")
        time.sleep(HELD_S)
    judge(story, cluster)


def test_consulfwd_is_restarted_under_load(
    cluster: Site, recorder: Recorder, results: Path
) -> None:
    host = cluster.machines[HOST]
    with recorder.story("restart", "consulfwd restarted", results) as story:
        for _ in range(3):
            host.sh("systemctl restart consulfwd")
            seen(story, "restarted")
            time.sleep(HELD_S / 2)
        host.sh("systemctl kill --signal=KILL consulfwd")
        seen(story, "killed")
        time.sleep(2 * HELD_S)
    judge(story, cluster, slowest=AGAIN_S)
    assert host.sh("systemctl is-active consulfwd").strip() == "active"


def test_all_nodes_are_restarted_in_turn(cluster: Site, recorder: Recorder, results: Path) -> None:
    with recorder.story("rolling", "All nodes restarted in turn", results) as story:
        for node in GALERA:
            seen(story, f"{node} restarts")
            cluster.machines[node].reboot()
            cluster.wait_whole()
        recorder.wait_whole()
        seen(story, "all back")
    judge(story, cluster)
