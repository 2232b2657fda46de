"""A real Chromium without a window, driven over its DevTools protocol.

One browser serves many pages; each page has storage of its own, and keeps what went wrong in it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

STARTS_S, ANSWERS_S, WAITS_S = 60.0, 60.0, 50.0
# Nothing of it is to go out, nor to ask anybody anything.
OPTIONS = (
    "--headless=new", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--disable-gpu", "--disable-dev-shm-usage",
    "--metrics-recording-only", "--password-store=basic", "--use-mock-keychain", "--mute-audio",
    "--hide-scrollbars", "--force-color-profile=srgb", "--no-proxy-server", "--lang=en",
    "--font-render-hinting=none",
)  # fmt: skip
# Key -> what the protocol calls its code on a keyboard, and its number.
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
    "ArrowDown": 40,
}  # fmt: skip


class ProtocolError(Exception):
    """The browser refused something, or a script in a page raised."""


class Page:
    """A page in a context of its own.

    `problems` are errors in its console, and breaches of its Content-Security-Policy.
    """

    def __init__(self, browser: Chromium, session: str, context: str) -> None:
        self._browser, self._session, self._context = browser, session, context
        self.problems: list[str] = []

    async def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Ask for something in this page."""
        return await self._browser.call(method, values, self._session)

    def told(self, method: str, values: dict[str, Any]) -> None:
        """Note what the browser tells of this page."""
        if method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            raised = details.get("exception", details)
            self.problems.append(str(raised.get("description", details)))
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "assert"):
            self.problems.append(str([one.get("value") for one in values["args"]]))
        elif method == "Log.entryAdded" and values["entry"]["level"] == "error":
            entry = values["entry"]
            self.problems.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")

    async def open(self, url: str) -> None:
        """Go there; what the page fetches comes later."""
        found = await self.call("Page.navigate", url=url)
        if "errorText" in found:
            raise ProtocolError(f"{url}: {found['errorText']}")

    async def value(self, script: str) -> Any:
        """Return what an expression comes to, awaited if it is a promise."""
        found = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raised = found["exceptionDetails"].get("exception", {})
            raise ProtocolError(str(raised.get("description")))
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = WAITS_S) -> Any:
        """Return what it comes to once that is true, looked at for each frame."""
        waiting = f"""new Promise((done) => {{
            const ends = performance.now() + {seconds * 1000};
            const look = () => {{
                const value = (() => {script})();
                const over = value || performance.now() > ends;
                if (over) done(value instanceof Node || value); else setTimeout(look, 15);
            }};
            look();
        }})"""
        value = await self.value(waiting)
        if not value:
            shown = await self.value("document.body.innerText")
            raise AssertionError(f"not within {seconds} s: {script}\nthe page says: {shown}")
        return value

    async def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let go of it."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key,
                windowsVirtualKeyCode=KEYS[key], modifiers=8 if shift else 0,
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    async def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Make the window so large, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip

    async def prefer(self, **features: str) -> None:
        """Have the visitor prefer something, such as prefers_color_scheme="dark"."""
        named = [{"name": key.replace("_", "-"), "value": one} for key, one in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=named)

    async def picture(self, height: int | None = None) -> bytes:
        """Return a PNG of all of the page, or of its top."""
        width = await self.value("innerWidth")
        full = await self.value("document.documentElement.scrollHeight")
        area = {"x": 0, "y": 0, "width": width, "height": height or full, "scale": 1}
        found = await self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=area
        )
        return base64.b64decode(found["data"])

    async def close(self) -> None:
        """Close it, and forget what it stored."""
        context = {"browserContextId": self._context}
        await self._browser.call("Target.disposeBrowserContext", context)


class Chromium:
    """The browser, process `pid`: pages are opened in it. Made by `running`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any], pid: int) -> None:
        self.pid = pid
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._told: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            waiting = self._waiting.pop(found.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(found)
            elif "method" in found and found.get("sessionId") in self._told:
                self._told[found["sessionId"]](found["method"], found["params"])
        for one in self._waiting.values():
            if not one.done():
                one.set_exception(ProtocolError("the browser is gone"))

    async def call(
        self, method: str, values: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Ask the browser for something. Raises ProtocolError."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        said = {"id": number, "method": method, "params": values or {}}
        await self._socket.send_json(said | ({"sessionId": session} if session else {}))
        found = await asyncio.wait_for(self._waiting[number], ANSWERS_S)
        if "error" in found:
            raise ProtocolError(f"{method}: {found['error']['message']}")
        result: dict[str, Any] = found["result"]
        return result

    async def page(self) -> Page:
        """Return a new, empty page."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = {"url": "about:blank", "browserContextId": context}
        target = (await self.call("Target.createTarget", made))["targetId"]
        asked = {"targetId": target, "flatten": True}
        session = (await self.call("Target.attachToTarget", asked))["sessionId"]
        page = Page(self, session, context)
        self._told[session] = page.told
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        await page.size(1180, 900)
        await page.call("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
        return page

    async def close(self) -> None:
        """End the connection; the process is `running`'s."""
        await self._socket.close()
        await self._reader


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Chromium]:
    """Run a browser. Raises FileNotFoundError without one."""
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("chromium is not installed: scripts/install-test-tools")
    home = tempfile.mkdtemp(prefix="chromium-")
    # Its sandbox is not for root, nor for containers that forbid namespaces.
    options = [*OPTIONS, "--no-sandbox", f"--user-data-dir={home}", "about:blank"]
    process = await asyncio.create_subprocess_exec(
        program, *options, env=_environ(home),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        url = await asyncio.wait_for(_address(Path(home), process), STARTS_S)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, max_msg_size=0, heartbeat=None) as socket,
        ):
            browser = Chromium(socket, process.pid)
            try:
                yield browser
                with contextlib.suppress(ProtocolError, ConnectionError, asyncio.TimeoutError):
                    await browser.call("Browser.close")
            finally:
                await browser.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
    finally:
        # Its children are in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _environ(home: str) -> dict[str, str]:
    """Nothing of this user's, and whatever it leaves is in its home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return kept | {"HOME": home, "TMPDIR": home, "TZ": "UTC"}


async def _address(home: Path, process: asyncio.subprocess.Process) -> str:
    """Return where it listens, once it says so."""
    said = home / "DevToolsActivePort"
    while True:
        if process.returncode is not None:
            raise ProtocolError(f"chromium ended with {process.returncode}")
        lines = said.read_text().split() if said.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.02)
