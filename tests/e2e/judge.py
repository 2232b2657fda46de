"""What is promised whatever is broken, held against the recording of a scenario.

What belongs here is the verdict; it must not know what was broken, nor how.
"""

from __future__ import annotations

import time

from tests.e2e.client import Done
from tests.e2e.icinga import outside_checks
from tests.e2e.site import ADDRESSES, GALERA, OUTSIDE_ADDRESS, Site
from tests.e2e.story import WAYS, Story, figures, outage

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
    slow = [one for one in looked_up if one.took > slowest]
    assert [one for one in slow if one.took > slowest + story.late("consulfwd", one)] == []
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
