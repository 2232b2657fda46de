"""Clients of all three ways at work on one host, and what they and Icinga went through, recorded.

What belongs here is how the recording is made; what it comes to is in `story`, what is broken
meanwhile in the tests.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.e2e import icinga
from tests.e2e.client import Done, Settings
from tests.e2e.machines import SHARED
from tests.e2e.site import ADDRESSES, AGENT_53, GALERA, ICINGA, NAME, OUTSIDE_NAME, Site, wait
from tests.e2e.story import WAYS, Connected, Mark, Story
from tests.load_lock import only_load

# On which host the clients work.
HOST = "icinga1"
PASSWORD = "/etc/writer-password"
# The name servers of each way; consulfwd's are the host's own, as provisioning left them.
SERVERS = {"agent": [AGENT_53], "bind": [ADDRESSES[name] for name in GALERA], "consulfwd": None}
ICINGA_EVERY_S, ICINGA_BACK_S = 1.0, 90.0
AT_WORK_S, ENDED_S, CALM_S, TOLD_S = 30.0, 20.0, 2.0, 0.5


class Recorder:
    """Three clients and a look at Icinga, for as long as a story; `stories` gets what was recorded.

    While nobody listens they do not work: they would take a core from whoever measures then.
    """

    def __init__(self, site: Site, stories: list[Story]) -> None:
        self.site = site
        self.stories = stories
        self.done: dict[str, list[Done]] = {way: [] for way in WAYS}
        self.icinga: list[Connected] = []
        self._faults: list[str] = []
        self._clients: dict[str, subprocess.Popen[str]] = {}
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()

    def prepare(self) -> None:
        """Make what the clients need, once."""
        machine = self.site.machines[HOST]
        machine.write(PASSWORD, self.site.secret("DB_WRITER_PASSWORD"), "600")
        for way, servers in SERVERS.items():
            if servers:
                lines = "".join(f"nameserver {one}\n" for one in servers)
                machine.write(f"/etc/resolv.conf.{way}", f"{lines}options edns0\n")
        self.site.sql(
            GALERA[0],
            "CREATE TABLE `load`.row_written (way VARCHAR(16) NOT NULL, number INT NOT NULL,"
            " PRIMARY KEY (way, number)) ENGINE=InnoDB",
        )

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Clients of all ways, each of which has done everything once; they must end in order."""
        began = time.monotonic()
        self._ending.clear()
        self._faults.clear()
        try:
            for way in WAYS:
                self._begin(way)
            for host in ICINGA:
                self._thread(lambda host=host: self._watch(host))  # type: ignore[misc]
            wait(lambda: not self._missing(began), lambda: f"{self._missing(began)}", AT_WORK_S)
            yield
        finally:
            self._ending.set()
            try:
                wait(self._ended, lambda: f"the end of {self._at_work_still()}", ENDED_S)
            finally:
                self._end()
        assert self._faults == []

    def _ended(self) -> bool:
        self._signal("TERM")
        return not self._at_work_still()

    def _at_work_still(self) -> list[str]:
        return [way for way, client in self._clients.items() if client.poll() is None]

    def _signal(self, name: str) -> str:
        """Tell the clients themselves, not what runs them there; what went wrong with that."""
        return self.site.machines[HOST].run(
            "pkill", f"-{name}", "-f", "tests.e2e.client", check=False
        )

    def _end(self) -> None:
        """End what did not end in order, so that no later story has to do with it."""
        if self._at_work_still():
            print(self._signal("USR1"))  # each says where it is
            time.sleep(TOLD_S)
            self._signal("KILL")
        for thread in self._threads:
            thread.join()
        self._clients.clear()
        self._threads.clear()

    def _missing(self, since: float) -> list[str]:
        """Who has not done yet, since then, what is to be seen of it."""
        found = [
            f"{way}: {what}"
            for way in WAYS
            for what in ("name", "outside", "row")
            if not any(
                one.what == what and one.at >= since and not one.error for one in self.done[way]
            )
        ]
        asked = {one.host for one in self.icinga if one.at >= since}
        return found + [host for host in ICINGA if host not in asked]

    def _begin(self, way: str) -> None:
        rows = max((one.row for one in self.done[way]), default=0)
        settings = Settings(way, NAME, OUTSIDE_NAME, "writer", "load", PASSWORD, rows)
        python = SHARED / ".venv" / "bin" / "python"
        work = f'cd {SHARED} && exec {python} -m tests.e2e.client "$0"'
        if SERVERS[way]:
            work = f"mount --bind /etc/resolv.conf.{way} /etc/resolv.conf && {work}"
        command = self.site.machines[HOST].command(
            *("unshare", "--mount", "--propagation=private"),
            *("sh", "-c", work, json.dumps(asdict(settings))),
            environ={"PYTHONDONTWRITEBYTECODE": "1"},
        )
        client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self._clients[way] = client

        def read() -> None:
            assert client.stdout is not None
            with client.stdout:
                for line in client.stdout:
                    found = json.loads(line)
                    self.done[way].append(Done(**{**found, "answer": tuple(found["answer"])}))
            if client.wait():
                self._faults.append(f"the client of {way} ended with {client.returncode}")

        self._thread(read)

    def _watch(self, host: str) -> None:
        while not self._ending.wait(ICINGA_EVERY_S):
            at = time.monotonic()
            status = icinga.ido_status(
                self.site.machines[host], self.site.secret("ICINGA_API_PASSWORD")
            )
            self.icinga.append(Connected(at, host, status.active, status.writing))

    def _thread(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)

    # -- stories ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def story(self, name: str, title: str, folder: Path, bad: str = "") -> Iterator[Story]:
        """What happens in the block, and a moment before and after it; kept in `folder`.

        Others measure meanwhile only what loads the machine as little. If the block fails, it is
        kept under another name, `failed-` before its own.
        """
        with only_load(light=True):
            story = Story(name, title, time.monotonic(), bad=bad)
            try:
                with self._at_work():
                    story.begin = time.monotonic()
                    try:
                        time.sleep(CALM_S)
                        yield story
                        time.sleep(CALM_S)
                    finally:
                        story.end = time.monotonic()
            except BaseException:
                self._cut(story)
                story.name = f"failed-{name}"
                story.write(folder)
                raise
        self._cut(story)
        story.lost = {way: self.lost(way) for way in WAYS}
        story.write(folder)
        self.stories[:] = [one for one in self.stories if one.name != name]
        self.stories.append(story)

    def _cut(self, story: Story) -> None:
        story.end = story.end or time.monotonic()
        story.done = {way: list(done) for way, done in self.done.items()}
        story.icinga = [one for one in self.icinga if story.begin <= one.at <= story.end]

    def lost(self, way: str) -> int:
        """How many rows were acknowledged so far and are not on every node."""
        acknowledged = [
            one.row for one in list(self.done[way]) if one.what == "row" and not one.error
        ]
        most = 0
        for name in GALERA:
            query = f"SELECT number FROM `load`.row_written WHERE way = '{way}'"
            found = set(map(int, self.site.sql(name, f"SET wsrep_sync_wait = 1; {query}").split()))
            most = max(most, len(set(acknowledged) - found))
        return most

    def icinga_writes(self) -> bool:
        """Whether a master writes to the database."""
        password = self.site.secret("ICINGA_API_PASSWORD")
        return any(icinga.ido_status(self.site.machines[host], password).writing for host in ICINGA)

    def wait_whole(self) -> None:
        """Return when nothing is left of what was broken."""
        self.site.wait_whole()
        wait(self.icinga_writes, "Icinga writing to its database", ICINGA_BACK_S)

    def given(self, way: str = "consulfwd") -> tuple[str, ...]:
        """What the name resolved to last."""
        answers = [one.answer for one in self.done[way][-40:] if one.what == "name" and one.answer]
        return answers[-1] if answers else ()


def harmed(story: Story, text: str) -> None:
    """Note that it was broken just now."""
    story.harmed = time.monotonic()
    story.marks.append(Mark(story.harmed, text))


def mended(story: Story, text: str) -> None:
    """Note that it was mended just now."""
    story.mended = time.monotonic()
    story.marks.append(Mark(story.mended, text))


def seen(story: Story, text: str) -> None:
    """Note what was seen just now."""
    story.marks.append(Mark(time.monotonic(), text))
