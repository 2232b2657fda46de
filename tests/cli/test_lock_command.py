"""`consulfwd lock` as a process, at a development agent: who runs, how it ends, what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consulfwd.cli.main import cli
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.errors import UsageError

KEY = "service/app/.lock"
LONG_S = 30.0
NOTES = "echo begun >> {0}; trap 'echo ended >> {0}; exit 0' TERM; while :; do sleep 0.02; done"


class Run:
    """One `consulfwd lock`, and what it says."""

    def __init__(self, command: list[str], environ: dict[str, str], notes: Path) -> None:
        self._notes = notes
        with notes.with_suffix(".out").open("w") as out, notes.with_suffix(".err").open("w") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environ
            )

    async def code(self) -> int:
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), LONG_S)

    async def said(self) -> str:
        await self.code()
        return self._notes.with_suffix(".err").read_text()

    async def printed(self) -> str:
        await self.code()
        return self._notes.with_suffix(".out").read_text()


class Site:
    """An agent with keys, and those who campaign there."""

    def __init__(self, agent: DevAgent, cluster: DevCluster, folder: Path) -> None:
        self.agent = agent
        self.store = cluster.catalog.kv
        self.folder = folder
        self.runs: list[Run] = []
        self.config = folder / "consulfwd.yml"
        where = {"dns_port": agent.dns_port, "http_port": agent.http_port}
        settings = {"consul": {"agents": [{"address": agent.address, **where}]}}
        self.config.write_text(json.dumps(settings))

    def run(self, *words: str, **environ: str) -> Run:
        command = [sys.executable, "-m", "consulfwd", "lock", "-c", str(self.config)]
        notes = self.folder / f"run-{len(self.runs)}"
        found = Run([*command, "--lock-delay=0", *words], {**os.environ, **environ}, notes)
        self.runs.append(found)
        return found

    @property
    def held(self) -> bool:
        entry = self.store.entries.get(KEY)
        return entry is not None and bool(entry.session)


async def soon(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with DevCluster(agents=1) as cluster:
        found = Site(cluster.agents[0], cluster, folder)
        try:
            yield found
        finally:
            for one in found.runs:
                one.process.kill()
                await one.code()


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_the_command_s_code_is_ours_and_the_lock_is_free_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for code in (0, 7):
            assert await here.run("service/app", "--", "sh", "-c", f"exit {code}").code() == code
            assert not here.held
        assert await here.run("service/app", "--", "sh", "-c", "kill -ABRT $$").code() == 134
        assert here.store.sessions == {}
        assert here.store.entries[KEY].locked == 3


async def test_the_command_knows_which_lock_it_has(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run = here.run("service/app", "--", "env")
        assert await run.code() == 0
        printed = (await run.printed()).splitlines()
        lines = dict(one.split("=", 1) for one in printed if "=" in one)
        assert {name: lines[name] for name in lines if name.startswith("CONSUL_LOCK")} == {
            "CONSUL_LOCK_KEY": KEY,
            "CONSUL_LOCK_NUMBER": "1",
            "CONSUL_LOCK_SESSION": lines["CONSUL_LOCK_SESSION"],
            "CONSUL_LOCK_MODIFY_INDEX": lines["CONSUL_LOCK_MODIFY_INDEX"],
            "CONSUL_LOCK_HELD": "true",
        }
        assert len(lines["CONSUL_LOCK_SESSION"]) == 36


async def test_the_backup_begins_when_the_first_is_stopped(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        notes = [tmp_path / "one", tmp_path / "other"]
        runs = []
        for note in notes:
            runs.append(here.run("service/app", "--", "sh", "-c", NOTES.format(note)))
            await soon(lambda: here.held)
        await soon(lambda: text(notes[0]) == "begun\n")
        await asyncio.sleep(0.3)
        assert text(notes[1]) == ""
        begin = time.monotonic()
        runs[0].process.terminate()
        await soon(lambda: text(notes[1]))
        assert time.monotonic() - begin < 3.0
        assert text(notes[0]) == "begun\nended\n"
        assert await runs[0].code() == 0
        said = await runs[0].said()
        assert f"{KEY}: active, number 1" in said
        assert "the command has ended with 0 after " in said
        runs[1].process.send_signal(signal.SIGINT)
        assert await runs[1].code() == 130


async def test_what_a_terminal_sends_ends_it_in_order(tmp_path: Path) -> None:
    """Ctrl-\\, too: the lock is given back, and nobody waits for the session's end."""
    async with site(tmp_path) as here:
        note = tmp_path / "note"
        run = here.run("service/app", "--", "sh", "-c", f"echo up > {note}; exec sleep 600")
        await soon(lambda: text(note))
        run.process.send_signal(signal.SIGQUIT)
        assert await run.code() == 131
        assert not here.held
        # Whatever else ends a program by itself leaves its code, as a closed terminal does.
        note.unlink()
        run = here.run("service/app", "--", "sh", "-c", f"echo up > {note}; exec sleep 600")
        await soon(lambda: text(note))
        run.process.send_signal(signal.SIGHUP)
        assert await run.code() == 129
        assert not here.held


async def test_a_command_reads_what_comes_in(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        words = [sys.executable, "-m", "consulfwd", "lock", "-c", str(here.config)]
        done = await asyncio.to_thread(
            subprocess.run, [*words, "service/app", "cat"],
            input="a line\n", capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "a line\n"


async def test_a_lock_that_is_lost_ends_the_command_and_it_begins_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        note = tmp_path / "note"
        run = here.run("service/app", "--", "sh", "-c", NOTES.format(note))
        await soon(lambda: text(note))
        here.store.destroy(here.store.entries[KEY].session)
        await soon(lambda: text(note) == "begun\nended\nbegun\n")
        run.process.terminate()
        assert await run.code() == 0
        said = await run.said()
        assert f"{KEY}: no longer active: the lock is lost: Consul took it away" in said


async def test_once_it_ends_with_the_lock(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        note = tmp_path / "note"
        run = here.run("--once", "service/app", "--", "sh", "-c", NOTES.format(note))
        await soon(lambda: text(note))
        here.store.destroy(here.store.entries[KEY].session)
        assert await run.code() == 75


async def test_who_does_not_wait_is_told(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.run("service/app", "--", "sleep", "600")
        await soon(lambda: here.held)
        for option in ("--try", "--timeout=0.2"):
            run = here.run(option, "service/app", "--", "true")
            assert await run.code() == 75
            assert "holds service/app" in await run.said()
        here.agent.faults.http.status.on(500)
        run = here.run("--timeout=0.5", "service/app", "--", "true")
        assert await run.code() == 3
        assert "HTTP 500" in await run.said()


async def test_a_backup_that_is_stopped_has_nothing_to_say(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.run("service/app", "--", "sleep", "600")
        await soon(lambda: here.held)
        for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
            sessions = len(here.store.sessions)
            run = here.run("service/app", "--", "true")
            await soon(lambda: len(here.store.sessions) > sessions)  # noqa: B023
            # Those that are passed on have nobody to go to, and end nothing.
            run.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.3)
            run.process.send_signal(number)
            assert await run.code() == code
            assert len(here.store.sessions) == sessions


async def test_a_kill_takes_the_command_with_it(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        note = tmp_path / "pid"
        run = here.run("service/app", "--", "sh", "-c", f"echo $$ > {note}; exec sleep 600")
        await soon(lambda: text(note))
        run.process.kill()
        await soon(lambda: not Path(f"/proc/{int(text(note))}").exists())


async def test_signals_are_passed_on(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        note = tmp_path / "note"
        script = f"trap 'echo hup >> {note}' HUP; echo up > {note}; while :; do sleep 0.02; done"
        run = here.run("service/app", "--", "sh", "-c", script)
        await soon(lambda: text(note))
        run.process.send_signal(signal.SIGHUP)
        await soon(lambda: "hup" in text(note))
        run.process.terminate()
        assert await run.code() == 0


async def test_the_service_manager_knows_which_one_it_is(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            path = str(tmp_path / "notify")
            sock.bind(path)
            sock.setblocking(False)
            heard: list[str] = []

            def said(what: str) -> bool:
                try:
                    while True:
                        heard.append(sock.recv(4096).decode())
                except BlockingIOError:
                    return any(what in one for one in heard)

            first = here.run("service/app", "--", "sleep", "600")
            await soon(lambda: here.held)
            # The command is not to speak for us.
            script = 'test -z "$NOTIFY_SOCKET" || exit 9; exec sleep 600'
            run = here.run("service/app", "--", "sh", "-c", script, NOTIFY_SOCKET=path)
            await soon(lambda: said("READY=1"))
            await soon(lambda: said("STATUS=backup: "))
            first.process.terminate()
            await soon(lambda: said("STATUS=active: "))
            run.process.terminate()
            assert await run.code() == 0
            assert said("STOPPING=1")


async def test_a_log_for_machines(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        run = here.run("--json", "service/app", "--", "true")
        lines = [json.loads(one) for one in (await run.said()).splitlines()]
        assert {one["logger"] for one in lines} == {"consulfwd.lock"}


def refused(*words: str) -> str:
    result = CliRunner().invoke(cli, ["lock", *words])
    return str(result.exception) if isinstance(result.exception, UsageError) else result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'NAME'"),
        (["service/app"], "Missing argument"),
        (["a/../b", "--", "true"], "NAME: 'a/../b' is not a key's prefix"),
        (["--try", "--timeout=1", "a", "--", "true"], "--try and --timeout: one of them"),
        (["--kill-after=6", "a", "--", "true"], "a third of --ttl at most: 5"),
        (["--ttl=5", "a", "--", "true"], "5.0 is not in the range"),
        (["--service=a b", "a", "--", "true"], "'a b' is not NAME or NAME:PORT"),
        (["--service=a:0", "a", "--", "true"], "'a:0' is not NAME or NAME:PORT"),
        (["--service-address=::1", "a", "--", "true"], "there is no --service"),
        (["--service=-a", "a", "--", "true"], "'-a' is not NAME or NAME:PORT"),
        (["--service=ä", "a", "--", "true"], "'ä' is not NAME or NAME:PORT"),
        (["--service=a", "--service-address=a b", "a", "--", "true"], "neither an address nor"),
        (["--token=secret", "a", "--", "true"], "No such option '--token'"),
        (["a", "--", "no-such-command"], "no-such-command: it is not installed"),
        (["a", "--once", "true"], "--once: options stand before NAME"),
        (["a", "--no-such", "--", "true"], "No such option '--no-such'"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], said: str) -> None:
    assert said in refused(*words)


def test_the_command_s_options_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from consulfwd.cli import lock

    seen: list[tuple[str, tuple[str, ...]]] = []

    def wanted(name: str, words: tuple[str, ...], params: dict[str, Any]) -> Any:
        seen.append((name, words))
        raise UsageError("enough")

    monkeypatch.setattr(lock, "_wanted", wanted)
    # Without `--`, too, as with `consul lock`.
    command = ["ls", "--try", "-c"]
    for words in (["a", "--"], ["a", "--once", "--"], ["--once", "a"]):
        CliRunner().invoke(cli, ["lock", *words, *command])
    assert seen == [("a", ("ls", "--try", "-c"))] * 3
    seen.clear()
    # A `--` of the command's is its own.
    CliRunner().invoke(cli, ["lock", "a", "git", "log", "--", "file"])
    assert seen == [("a", ("git", "log", "--", "file"))]


def test_a_token_is_never_shown() -> None:
    assert "secret" not in refused("--token=secret", "a", "--", "true")
