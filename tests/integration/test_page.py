"""The status page in a real Chromium: what people see of made-up processes, and how they use it."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from consulfwd.ops.snapshot import ChangeSeen, Snapshot
from tests.integration import page_seen
from tests.integration.chromium import Page, running
from tests.integration.page_served import Served
from tests.integration.page_shown import NARROW, SENTENCE, WIDE, shown, text
from tests.integration.page_shown import chromium as chromium
from tests.integration.page_shown import page as page
from tests.integration.page_shown import served as served
from tests.integration.page_shown import window as window

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_browser_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    # A short path: its sockets are in there.
    with tempfile.TemporaryDirectory(prefix="left-") as folder:
        for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        async with running() as browser:
            await browser.page()
        assert list(Path(folder).iterdir()) == []


def later(picture: Snapshot, seconds: float, **counters: float) -> Snapshot:
    """Return what is seen so much later, when counters grew by so much."""
    assert picture.resolver is not None
    grown = dict(picture.resolver.counters)
    for name, by in counters.items():
        grown[name] += by
    seen = replace(picture.resolver, counters=grown)
    return replace(picture, taken=picture.taken + seconds, resolver=seen)


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (page_seen.well(), "All is well: 3 of 3 agents and 2 of 2 recursors are up."),
        (page_seen.serve(), "Working, with a fault: agent 10.0.0.11 is down."),
        (
            page_seen.serve(ready=False, faults=("no agent is up", "not listening on [::1]:53")),
            "Not working: no agent is up; and 1 more.",
        ),
        (page_seen.serve(ready=False, phase="starting", resolver=None), "It is starting."),
        (
            page_seen.zones(),
            "Working, with faults: svc.example.com: REFUSED: the key svc-update is not allowed to;"
            " and 1 more.",
        ),
        (
            page_seen.serve(ready=False, faults=(f"10.0.0.11 {'cannot be reached, ' * 9}",)),
            "Not working: 10.0.0.11 cannot be reached, cannot be reached, cannot be reached,"
            " cannot be reached, cannot be reached…",
        ),
        (page_seen.files(), "All is well: all files are in force."),
        (
            page_seen.files(failing=True),
            "Not working: /etc/nginx/conf.d/galera.conf: the template asks for what Consul does not"
            " have.",
        ),
    ],
)
async def test_one_sentence_says_how_it_is(
    page: Page, served: Served, picture: Snapshot, sentence: str
) -> None:
    await shown(page, served, picture)
    assert await page.value(SENTENCE) == sentence
    # What is cut there stands whole below it.
    told = await page.value("document.querySelectorAll('.faults li').length")
    assert bool(told) is sentence.endswith(("more.", "…"))


async def test_servers_say_how_they_are_and_who_is_asked_why(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.serve())
    assert await text(page, "#agents tbody tr:nth-child(1)") == (
        "10.0.0.11 udp down for 11 min 0.61 ms 2.2M times \N{EN DASH}"
    )
    assert await text(page, "#groups tbody tr:nth-child(1)") == (
        "agents ordered 10.0.0.12 the first in order that is up: 10.0.0.11 is down"
        " 10.0.0.11 (down) 10.0.0.12 (up) 10.0.0.13 (up)"
    )
    spark = "#agents tbody tr:nth-child(1) svg.spark"
    said = await page.value(f"document.querySelector('{spark}').getAttribute('aria-label')")
    assert said.startswith("Round trips of 10.0.0.11: 0.")
    assert said.endswith("; no reply in 12 of 48 spans of time")


async def test_what_is_drained_is_no_fault(page: Page, served: Served) -> None:
    seen = page_seen.well().resolver
    assert seen is not None
    first = replace(seen.upstreams[0], drained=True, waiting=2)
    picture = page_seen.serve(replace(seen, upstreams=(first, *seen.upstreams[1:])))
    await shown(page, served, picture)
    assert await page.value(SENTENCE) == (
        "All is well: 3 of 3 agents and 2 of 2 recursors are up; 10.0.0.11 is drained."
    )
    row = await text(page, "#agents tbody tr:nth-child(1)")
    assert row.startswith("10.0.0.11 udp drained for 9 d 2 replies still to come")


async def test_failovers_are_a_timeline_of_an_hour_or_a_day(page: Page, served: Served) -> None:
    seen = page_seen.resolver()
    old = ChangeSeen(page_seen.TAKEN - 7 * 3600, "9.9.9.9", "recursor", "up", "down", "no route")
    await shown(page, served, page_seen.serve(replace(seen, changes=(old, *seen.changes))))
    assert await page.value("document.querySelectorAll('.changes li').length") == 7
    assert await text(page, ".changes li") == (
        "14:20:48 10.0.0.11 up → down connection refused; 10.0.0.12 takes over"
    )
    lanes = "[...document.querySelectorAll('.lane')].map((one) => one.getAttribute('aria-label'))"
    assert (await page.value(lanes))[:2] == [
        "10.0.0.11 was not up for 11 min of the last hour", "10.0.0.12 was up all of the last hour",
    ]  # fmt: skip
    await page.value("document.querySelector('[data-window=day]').click()")
    await page.until("document.querySelectorAll('.changes li').length === 8")
    assert await text(page, ".changes li:last-child") == "07:32:10 9.9.9.9 up → down no route"
    # Without a change within the hour the day is shown to begin with.
    served.show(page_seen.serve(replace(seen, changes=(old,)), taken=page_seen.TAKEN + 1))


async def test_rates_come_of_what_the_counters_gain(page: Page, served: Served) -> None:
    first = page_seen.well()
    await shown(page, served, first)
    assert await text(page, "#queries .tile") == "Queries \N{EN DASH} a second"
    second = later(first, 1, queries=120, hot=90, forwarded=30)
    served.show(second)
    await page.until("document.querySelector('.tile .big').textContent === '120'")
    tiles = await text(page, "#queries .tiles")
    assert tiles.startswith("Queries 120 a second From memory 75.0 % last 1 s")
    # Another process begins at nothing: that is no rate.
    served.show(replace(later(second, 1, queries=-1e6), pid=9, started=second.taken))
    await page.until("document.querySelector('.tile .big').textContent === '\N{EN DASH}'")
    assert await page.value("document.querySelectorAll('.flow .line').length") == 0


async def test_zones_show_pushes_faults_and_what_is_withheld(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.zones())
    row = await text(page, "#zones article:nth-of-type(1) tbody tr:nth-child(2)")
    assert row == (
        "ns2.example.com fails REFUSED: the key svc-update is not allowed to (for 22 min)"
        " 23 min ago 3 names added 2026113011 116 260 addresses 14 changes"
    )
    # Nothing is told twice: a target's fault stands there, and files are somebody else's.
    assert await page.value("document.querySelectorAll('#zones .told li').length") == 1
    assert await page.value("document.querySelectorAll('#files').length") == 0
    await page.value("document.querySelector('summary').click()")
    assert "and 2 more" in await text(page, "details ul li:last-child")
    # What a visitor opened stays open when there is news.
    served.show(replace(page_seen.zones(), host="news", taken=page_seen.TAKEN + 1))
    await page.until("document.querySelector('#where').textContent.includes('news')")
    assert await page.value("document.querySelector('details').open") is True


async def test_names_that_move_say_who_answers_and_why(page: Page, served: Served) -> None:
    found = page_seen.records()
    await shown(page, served, replace(page_seen.serve(), failover=found, failover_in_all=5))
    article = "#failover article:nth-of-type(1)"
    assert await text(page, f"{article} .head") == "www.example.com dc2"
    row = await text(page, f"{article} tbody tr:nth-child(1)")
    assert row == (
        "192.0.2.11 dc1 down for 4 min 2 s ago in 11.0 ms HTTP 503 site-a: down, site-b: up"
    )
    told = await text(page, f"{article} .told")
    assert "dc1 is well, and takes over in 1 min" in told
    assert "by order of anna: a drill" in told
    assert "not answered yet" in await text(page, "#failover article:nth-of-type(3) .head")
    assert "And 2 records more." in await text(page, "#failover > p")


async def test_workers_say_who_answers_and_how_many_were_replaced(
    page: Page, served: Served
) -> None:
    await shown(page, served, page_seen.serve())
    assert await page.value("document.querySelector('#workers')") is None
    found = replace(page_seen.serve(), workers=page_seen.workers(), workers_replaced=1)
    served.show(replace(found, taken=page_seen.TAKEN + 1))
    await page.until("document.querySelector('#workers')")
    rows = [await text(page, f"#workers tbody tr:nth-child({at})") for at in (1, 2)]
    assert rows[0].startswith("Worker 1 process 811 answers 9 d 3,000,000 100 %")
    assert rows[1].startswith("Worker 2 process 9127 does not answer yet")
    assert "1 worker was replaced since the start." in await text(page, "#workers > p")


async def test_a_fallen_agent_is_seen_at_once_and_told_once(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.well())
    await page.value(
        "(() => { window.told = 0; new MutationObserver(() => { told += 1; }).observe(document"
        ".querySelector('#sentence'), {subtree: true, childList: true, characterData: true}); })()"
    )
    for at in range(1, 4):
        served.show(replace(page_seen.serve(), taken=page_seen.TAKEN + at))
        await page.until("document.querySelector('#agents .pill.bad')?.textContent === 'down'")
    assert await page.value("told") == 1
    assert str(await page.value("document.title")).startswith("Working, with a fault · app7")


def axe() -> str:
    """The source of axe-core, which a package for another way of driving browsers brings along."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None, "axe-core is not installed: make .venv/.test"
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text()


async def faults(page: Page) -> list[str]:
    """Return what axe finds that is serious, or worse."""
    found = await page.value(
        "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.flatMap("
        "(one) => one.nodes.map((node) => [one.impact, one.id, node.target.join(' '),"
        " node.failureSummary].join(' | '))))"
    )
    return [one for one in found if one.startswith(("serious", "critical", "moderate"))]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_axe_finds_nothing(
    page: Page, served: Served, colours: str, size: tuple[int, int]
) -> None:
    await page.size(*size)
    # What fades or breathes has no colour to be judged.
    await page.prefer(prefers_color_scheme=colours, prefers_reduced_motion="reduce")
    both = replace(page_seen.serve(faults=("one", "two")), zones=page_seen.zones().zones)
    both = replace(both, failover=page_seen.records(), failover_in_all=3)
    both = replace(both, workers=page_seen.workers(), workers_replaced=1)
    await shown(page, served, both)
    await page.value("document.querySelector('summary').click()")
    await page.value(axe())
    assert await faults(page) == []


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_axe_finds_nothing_while_the_connection_is_lost(
    page: Page, served: Served, colours: str
) -> None:
    await page.prefer(prefers_color_scheme=colours)
    await shown(page, served, page_seen.serve())
    await page.value(axe())
    await served.cut()
    await page.until("document.body.classList.contains('stale')")
    assert await faults(page) == []
    await served.back()


async def test_it_is_walked_through_by_keyboard(page: Page, served: Served) -> None:
    seen = page_seen.resolver()
    many = tuple(replace(seen.watches[0], subject=f"service{at:02}") for at in range(20))
    picture = page_seen.serve(replace(seen, watches=many), zones=page_seen.zones().zones)
    await shown(page, served, picture)
    where = (
        "(() => { const one = document.activeElement; return [one.name || one.localName,"
        " one.value || one.textContent].join(' '); })()"
    )
    outlined = (
        "(() => { const one = document.activeElement;"
        " const seen = one.matches('.switch input') ? one.nextElementSibling : one;"
        " return getComputedStyle(seen).outlineStyle; })()"
    )
    walk = []
    for _ in range(7):
        await page.press("Tab")
        walk.append(await page.value(where))
        assert await page.value(outlined) == "solid", walk
    assert walk == [
        "a To the content", "theme auto", "window hour", "button Show all 20", "summary 14 changes",
        "a status.json", "a metrics",
    ]  # fmt: skip
    for _ in range(3):
        await page.press("Tab", shift=True)
    assert await page.value(where) == "button Show all 20"
    await page.press("Enter")
    await page.until("document.querySelectorAll('.watches tbody tr').length === 20")
    # News take the focus from nobody.
    served.show(replace(picture, host="news", taken=picture.taken + 1))
    await page.until("document.querySelector('#where').textContent.includes('news')")
    assert await page.value(where) == "button Show fewer"
    await page.press("Tab", shift=True)
    await page.press("ArrowRight")
    await page.until("document.querySelector('.ticks').textContent.includes('1 d ago')")
    assert await page.value(where) == "window day"
    # And past all of the head at once.
    await page.value("document.querySelector('.skip').focus()")
    await page.press("Enter")
    await page.until("location.hash === '#main'")
    await page.press("Tab")
    assert await page.value(where) == "window day"


async def test_colours_are_the_systems_or_chosen_and_kept(page: Page, served: Served) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(247, 247, 245)", "rgb(17, 20, 23)"
    await page.prefer(prefers_color_scheme="dark")
    await shown(page, served, page_seen.well())
    assert await page.value(paper) == dark
    await page.value("document.querySelector('[value=light]').click()")
    assert await page.value(paper) == light
    await shown(page, served, page_seen.well())
    assert await page.value(paper) == light
    assert await page.value("document.querySelector('[value=light]').checked") is True
    await page.value("document.querySelector('[value=auto]').click()")
    assert await page.value(paper) == dark
    assert await page.value("localStorage.length") == 0


async def test_motion_and_print(page: Page, served: Served) -> None:
    await shown(page, served, page_seen.zones())
    moves = "document.getAnimations().filter((one) => one.effect.getTiming().iterations > 1).length"
    assert await page.value(moves) == 1
    await page.prefer(prefers_reduced_motion="reduce")
    assert await page.value(moves) == 0
    await page.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert await page.value("getComputedStyle(document.querySelector('.switch')).display") == "none"
    await page.value("dispatchEvent(new Event('beforeprint'))")
    assert await page.value("document.querySelector('details').open") is True
