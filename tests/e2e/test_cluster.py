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

from tests.e2e.client import Done
from tests.e2e.icinga import outside_checks
from tests.e2e.record import HOST, Recorder, harmed, mended, seen
from tests.e2e.site import ADDRESSES, GALERA, OUTSIDE_ADDRESS, Site, wait
from tests.e2e.story import WAYS, Story, figures, outage

# Consul looks every 10 s, for 1 s; its servers take up to so long to hold a silent one for dead.
CHECKED_S, FAILED_S, BACK_S = 10.0 + 1.0, 45.0, 90.0
NOISE_S = 4.0
HELD_S = 5.0
# The slowest look-up: two seconds of silence are to be seen, less is left to a busy host. And while
# consulfwd itself is killed: systemd waits before it starts it again, queries wait in its sockets.
SLOWEST_S, AGAIN_S = 1.9, 4.0
# Galera waits up to 15 s for a silent member, and a client 3 s for each node it tries. Icinga tries
# again every 10 s, and one master waits for so long before it takes over from the other.
PAUSE_S, OUTAGE_S = 30.0, 75.0
LEFT = "left the answer"


def judge(story: Story, cluster: Site, slowest: float = SLOWEST_S) -> None:
    """What holds whatever was broken."""
    looked_up = story.within("consulfwd", "name", "outside")
    assert [one for one in looked_up if one.error] == []
    assert [one for one in looked_up if one.took > slowest + story.late("consulfwd", one)] == []
    assert wrong(story) == []
    seconds = story.end - story.begin
    # Each look-up waits for the one before, so that few would mean that they were not looked at.
    assert len(looked_up) > seconds * 4
    assert figures(story, "consulfwd").pause < PAUSE_S
    assert outage(story) < OUTAGE_S
    assert {way: figures(story, way).lost for way in WAYS} == dict.fromkeys(WAYS, 0)
    since = time.time() - (time.monotonic() - story.begin)
    assert outside_checks(cluster, since) == []


def wrong(story: Story) -> list[Done]:
    """Answers of consulfwd's that are not true, or of no use: without any node that works; with
    the bad one after it had left."""
    nodes = {ADDRESSES[name] for name in GALERA}
    left = next((mark.at for mark in story.marks if mark.text == LEFT), story.end)
    mended = story.mended or story.end
    found = [
        one
        for one in story.within("consulfwd", "outside")
        if not one.error and one.answer != (OUTSIDE_ADDRESS,)
    ]
    for one in story.within("consulfwd", "name"):
        given = set(one.answer)
        returned = left < one.at and one.at + one.took < mended and story.bad in given
        if not one.error and (not given - {story.bad} or not given <= nodes or returned):
            found.append(one)
    return found


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
    with recorder.story("node", "A node cut off", results, bad=ADDRESSES[node]) as story:
        cluster.lan.cut(cluster.lan.hosts[node])
        harmed(story, "cut off")
        mend = functools.partial(cluster.lan.mend, cluster.lan.hosts[node])
        away_and_back(recorder, story, FAILED_S, mend, "plugged in")
    judge(story, cluster)


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
