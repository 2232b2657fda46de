"""The status page in a real Chromium, for the tests of a file: one browser, a server each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio

from consulfwd.ops.snapshot import Snapshot
from tests.integration import page_seen
from tests.integration.chromium import Chromium, Page, running
from tests.integration.page_served import Served

WIDE, NARROW = (1180, 900), (360, 740)
SENTENCE = "document.querySelector('#sentence')?.textContent"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with running() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def served() -> AsyncIterator[Served]:
    one = Served(page_seen.well())
    await one.back()
    yield one
    await one.cut()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def window(chromium: Chromium) -> Page:
    return await chromium.page()


@pytest_asyncio.fixture(loop_scope="module")
async def page(window: Page, served: Served) -> AsyncIterator[Page]:
    """A page, in which nothing may go wrong that a test does not expect.

    What it stores is gone with the server, which is at another port for each test.
    """
    await window.size(*WIDE)
    await window.call("Emulation.setEmulatedMedia", media="", features=[])
    yield window
    await window.open("about:blank")
    problems, window.problems = window.problems, []
    # Of a server that is gone on purpose the browser says so, and of that of the test before late.
    kept = [one for one in problems if not one.startswith("network: ")]
    assert (kept if served.was_cut or served.url not in str(problems) else problems) == []


async def shown(page: Page, served: Served, picture: Snapshot) -> None:
    """Open the page as a visitor would who finds this."""
    served.picture = picture
    await page.open(served.url)
    await page.until(SENTENCE)


async def text(page: Page, selector: str) -> str:
    """Return what people read there, without line breaks."""
    found = await page.value(f"document.querySelector({json.dumps(selector)}).innerText")
    return " ".join(str(found).split())
