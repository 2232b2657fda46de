"""What the status page bears, in a real Chromium: mean names, lost connections, a long day."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consulfwd.ops.snapshot import ChangeSeen, Snapshot, WatchSeen, to_json
from tests.integration import page_seen
from tests.integration.chromium import Page
from tests.integration.page_served import Served
from tests.integration.page_shown import NARROW, SENTENCE, shown, text
from tests.integration.page_shown import chromium as chromium
from tests.integration.page_shown import page as page
from tests.integration.page_shown import served as served
from tests.integration.page_shown import window as window

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = "<img src=x onerror=\"document.title='owned'\">" + "&amp;'\"`${1}\u202e" + "x" * 180


async def test_breaches_of_the_policy_are_noticed(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.well())
    assert page.problems == []
    await page.value("document.body.setAttribute('style', 'color: red')")
    # What the browser tells of it may come after its answer.
    for _ in range(100):
        if not page.problems:
            await page.value("new Promise((done) => setTimeout(done, 10))")
    assert any("Content Security Policy" in one for one in page.problems)
    page.problems.clear()


def hostile() -> Snapshot:
    """Return a process all of whose words are written by somebody who means ill."""
    seen = page_seen.resolver()
    upstreams = tuple(
        replace(one, name=HOSTILE + str(at), address=HOSTILE, behind=HOSTILE, transport=HOSTILE)
        for at, one in enumerate(seen.upstreams)
    )
    names = tuple(one.name for one in upstreams)
    groups = tuple(
        replace(one, label=HOSTILE + one.label, why=HOSTILE, members=names, first=names[1])
        for one in seen.groups
    )
    changes = tuple(replace(one, server=names[0], why=HOSTILE) for one in seen.changes)
    watches = tuple(replace(one, subject=HOSTILE, carrier=HOSTILE) for one in seen.watches[:1])
    seen = replace(
        seen, upstreams=upstreams, groups=groups, changes=changes, watches=watches,
        domain=HOSTILE, querylog=HOSTILE, listening=(HOSTILE,), missing=(HOSTILE,),
    )  # fmt: skip
    zones = []
    for zone in page_seen.zones().zones:
        targets = tuple(
            replace(one, where=HOSTILE, what=HOSTILE, fault=HOSTILE, withheld=(HOSTILE,) * 3)
            for one in zone.targets[:1]
        )
        zones.append(replace(zone, zone=HOSTILE, holder=HOSTILE, paused=HOSTILE, doubt=HOSTILE,
                             faults=(HOSTILE,), targets=targets))  # fmt: skip
    rounds = page_seen.files().rounds
    assert rounds is not None
    return page_seen.serve(
        seen, zones=tuple(zones), rounds=replace(rounds, what=HOSTILE), host=HOSTILE,
        version=HOSTILE, faults=(HOSTILE, HOSTILE),
    )  # fmt: skip


async def test_hostile_names_are_text(page: Page, served: Served) -> None:
    await page.size(*NARROW)
    await shown(page, served, hostile())
    assert await page.value("document.querySelectorAll('img, [onerror]').length") == 0
    assert "owned" in str(await page.value("document.querySelector('#agents').textContent"))
    assert str(await page.value("document.title")).endswith("· consulfwd")
    assert await page.value("document.documentElement.scrollWidth") == NARROW[0]


@pytest.mark.parametrize("width", [320, 360, 736, 737, 1180])
async def test_nothing_is_scrolled_sideways(page: Page, served: Served, width: int) -> None:
    await page.size(width, 740)
    zones, files = page_seen.zones(), page_seen.files()
    both = replace(page_seen.serve(), zones=zones.zones, rounds=files.rounds)
    await shown(page, served, both)
    await page.value("document.querySelector('summary').click()")
    assert await page.value("document.documentElement.scrollWidth") == width
    beyond = (
        "[...document.querySelectorAll('main *')].filter((one) => !one.closest('thead, .unseen') &&"
        " one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML)"
    )
    assert await page.value(beyond) == []


async def test_a_lost_connection_is_told_and_comes_back(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.well())
    await served.cut()
    told = await page.until("document.querySelector('#lost').innerText")
    assert told.startswith("Connection lost since ")
    assert await page.value("document.body.classList.contains('stale')") is True
    assert await text(page, "#live") == "Not live"
    served.picture = replace(page_seen.serve(), taken=page_seen.TAKEN + 9)
    await served.back()
    await page.until(f"{SENTENCE}.startsWith('Working')")
    assert await text(page, "#live") == "Live"
    assert await page.value("document.querySelector('#lost').innerText") == ""


async def test_a_process_that_hangs_is_told(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.well())
    served.say(b'event: fault\ndata: {"error": "its event loop does not turn"}\n\n')
    told = await page.until("document.querySelector('#lost').innerText")
    assert told.startswith("No news since ")
    assert "its event loop does not turn." in told
    served.show(replace(page_seen.serve(), taken=page_seen.TAKEN + 9))
    await page.until(f"{SENTENCE}.startsWith('Working')")
    assert await page.value("document.querySelector('#lost').innerText") == ""


async def test_who_falls_silent_is_lost_too(page: Page, served: Served) -> None:
    # The page waits for 25 s: here they pass faster.
    hurry = "const own = setTimeout; window.setTimeout = (go, ms) => own(go, ms / 30)"
    added = await page.call("Page.addScriptToEvaluateOnNewDocument", source=hurry)
    await shown(page, served, page_seen.well())
    await page.call("Page.removeScriptToEvaluateOnNewDocument", **added)
    await page.until("document.querySelector('#lost').innerText")
    # It asks again by itself.
    await page.until("!document.querySelector('#lost').innerText")


@pytest.mark.parametrize(
    "said", [b"event: status\ndata: {\n\n", b"event: status\ndata: {\"format\": 2}\n\n"]
)
async def test_what_is_no_picture_ends_the_connection(
    page: Page, served: Served, said: bytes
) -> None:
    await shown(page, served, page_seen.well())
    # Neither comments nor other events are news.
    served.say(b": alive\n\nevent: other\ndata: {\n\n")
    served.say(said)
    await page.until("document.querySelector('#lost').innerText")
    await page.until("!document.querySelector('#lost').innerText")


def restless(at: int) -> Snapshot:
    """Return what is seen at such a second of a day: servers, changes and watches come and go."""
    seen = page_seen.resolver()
    taken = page_seen.TAKEN + at
    upstreams = [replace(one, since=taken - at % 90) for one in seen.upstreams]
    upstreams[at % 5] = replace(upstreams[at % 5], state=("down", "up", "suspect")[at % 3])
    upstreams.append(replace(upstreams[0], name=f"10.1.{at % 9}.{at % 250}"))
    changes = tuple(
        ChangeSeen(taken - ago * 11, one.name, one.kind, "up", "down", f"{at}")
        for ago, one in enumerate(upstreams[:5] * 3)
    )
    watches = tuple(
        WatchSeen(f"service{(at + one) % 997}", "10.0.0.12", True, taken, at, 3, 2, 1)
        for one in range(14)
    )
    counters = {**seen.counters, "queries": 10**9 + 80 * at}
    seen = replace(
        seen, upstreams=tuple(upstreams), changes=changes, watches=watches, counters=counters
    )
    return page_seen.serve(seen, taken=taken, faults=(f"fault {at % 7}",))


async def test_a_page_that_is_open_for_a_day_does_not_grow(page: Page, served: Served) -> None:
    template = [json.dumps(to_json(restless(at))) for at in range(60)]

    async def tell(begin: int, end: int) -> None:
        """Tell of so many seconds, and wait until the last is shown."""
        for at in range(begin, end):
            told = template[at % 60]
            for name, value, each in (("taken", page_seen.TAKEN, 1), ("queries", 10**9, 80)):
                then, now = value + each * (at % 60), value + each * at
                told = told.replace(f'"{name}": {then}', f'"{name}": {now}')
            served.say(b"event: status\ndata: " + told.encode() + b"\n\n")
            if at % 100 == 0:
                await served.sent()
        await served.sent()
        seen = page_seen.clock(page_seen.TAKEN + end - 1)
        await page.until(f"document.querySelector('#foot').innerText.includes('{seen}')")

    async def held(begin: int) -> list[int]:
        """Return the least that it has over a few seconds: octets, nodes, listeners.

        At any one time there may be a part of the stream more.
        """
        found = []
        for at in range(begin, begin + 5):
            await tell(at, at + 1)
            # What is compiled and not used lately goes after some rounds only.
            for _ in range(4):
                await page.call("HeapProfiler.collectGarbage")
            heap = await page.call("Runtime.getHeapUsage")
            counts = await page.call("Memory.getDOMCounters")
            found.append((heap["usedSize"], counts["nodes"], counts["jsEventListeners"]))
        return [min(values) for values in zip(*found, strict=True)]

    await shown(page, served, restless(0))
    await tell(1, 2_000)
    octets, nodes, listeners = await held(2_000)
    await tell(2_005, 10_000)
    octets_after, nodes_after, listeners_after = await held(10_000)
    assert nodes_after <= nodes * 1.05
    assert listeners_after == listeners
    assert octets_after < octets + 300_000
