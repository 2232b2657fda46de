"""The case, end to end: what is broken on the cluster, and that no program is left without names.

The scenarios share one running cluster and leave it whole. What each of the three ways of
resolving went through is recorded; what is asserted is what consulfwd promises, and that no row
that was acknowledged is lost.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.e2e.icinga import outside_checks
from tests.e2e.record import HOST, Recorder, harmed, mended, seen
from tests.e2e.site import ADDRESSES, GALERA, Site, wait
from tests.e2e.story import WAYS, Story, figures

# Consul looks every 10 s, for 1 s; its servers take up to so long to hold a silent one for dead.
CHECKED_S, FAILED_S, BACK_S = 10.0 + 1.0, 45.0, 90.0
NOISE_S = 4.0
HELD_S = 5.0


def judge(story: Story, cluster: Site) -> None:
    """What holds whatever was broken."""
    ours = figures(story, "consulfwd")
    failed = [one for one in story.within("consulfwd", "name", "outside") if one.error]
    assert failed == []
    assert ours.slowest < 3.0
    seconds = story.end - story.begin
    # Whatever else is slow: names were looked up all the time, and rows written most of it.
    assert ours.lookups > seconds * 10
    assert ours.rows > seconds
    assert {way: figures(story, way).lost for way in WAYS} == dict.fromkeys(WAYS, 0)
    since = time.time() - (time.monotonic() - story.begin)
    assert outside_checks(cluster, since) == []


def away(recorder: Recorder, story: Story, within: float) -> None:
    """Return when the bad node has left the answer."""
    wait(lambda: story.bad not in recorder.given(), f"{story.bad} out of the answer", within)
    seen(story, "left the answer")


def back(recorder: Recorder, story: Story, cluster: Site) -> None:
    """Return when it is in the answer again, and all is whole."""
    wait(lambda: story.bad in recorder.given(), f"{story.bad} in the answer again", BACK_S)
    seen(story, "back in the answer")
    whole(recorder, cluster)


def whole(recorder: Recorder, cluster: Site) -> None:
    """Return when nothing is left of what was broken."""
    cluster.wait_whole()
    wait(recorder.icinga_writes, "Icinga writing to its database", BACK_S)


def test_the_database_server_is_killed(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = "galera2"
    with recorder.story("mysqld", "mysqld killed", results, bad=ADDRESSES[node]) as story:
        cluster.stop(node, "mariadb")
        harmed(story, "mysqld killed")
        away(recorder, story, CHECKED_S + NOISE_S)
        time.sleep(HELD_S)
        cluster.start(node, "mariadb")
        mended(story, "started")
        back(recorder, story, cluster)
    judge(story, cluster)


def test_a_node_is_cut_off(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = "galera1"
    with recorder.story("node", "A node cut off", results, bad=ADDRESSES[node]) as story:
        cluster.lan.cut(cluster.lan.hosts[node])
        harmed(story, "cut off")
        away(recorder, story, FAILED_S)
        time.sleep(HELD_S)
        cluster.lan.mend(cluster.lan.hosts[node])
        mended(story, "plugged in")
        back(recorder, story, cluster)
    judge(story, cluster)


def test_the_leader_of_consul_is_killed(cluster: Site, recorder: Recorder, results: Path) -> None:
    node = cluster.leader()
    with recorder.story("leader", "Consul's leader killed", results, bad=ADDRESSES[node]) as story:
        cluster.stop(node, "consul")
        harmed(story, f"{node}'s Consul killed")
        wait(lambda: cluster.leader() not in ("", node), "another leader", FAILED_S)
        seen(story, "another leads")
        away(recorder, story, FAILED_S)
        time.sleep(HELD_S)
        cluster.start(node, "consul")
        mended(story, "started")
        back(recorder, story, cluster)
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
    judge(story, cluster)
    assert host.sh("systemctl is-active consulfwd").strip() == "active"


def test_all_nodes_are_restarted_in_turn(cluster: Site, recorder: Recorder, results: Path) -> None:
    with recorder.story("rolling", "All nodes restarted in turn", results) as story:
        for node in GALERA:
            seen(story, f"{node} restarts")
            cluster.machines[node].reboot()
            cluster.wait_whole()
        whole(recorder, cluster)
        seen(story, "all back")
    judge(story, cluster)
