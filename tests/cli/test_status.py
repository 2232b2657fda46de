"""`consulfwd status`: what is shown of running processes, and what of those that say nonsense."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consulfwd.cli import status
from consulfwd.ops import client
from consulfwd.ops.snapshot import (
    RoundsSeen,
    Snapshot,
    TargetSeen,
    ZoneSeen,
    to_json,
)
from tests.cli.admin import AGENTS, NOW, Admin, Say, looked_for, reply, resolver, running, upstream
from tests.cli.conftest import Ended, Run


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "serve.sock"


@pytest.fixture
def show(run: Run, here: Path) -> Any:
    """Run `consulfwd status` at a process with this picture, or that says this."""

    def shown(said: Snapshot | Say, *words: str) -> Ended:
        says = said if isinstance(said, Snapshot) else {"GET /status.json": said}
        with Admin(here, says):
            return run("status", "--socket", str(here), *words)

    return shown


def down(**values: Any) -> Snapshot:
    """One of two agents is down."""
    first = upstream(AGENTS[0], state="down", since=NOW - 12)
    return running(resolver(upstreams=(first, upstream(AGENTS[1])), **values))


def test_all_is_well(show: Any) -> None:
    done = show(running())
    assert (done.code, done.err) == (0, "")
    assert done.plain == (
        "serve on db1: all is well\n"
        " consulfwd 0.3.0, in Python alone, pid 4711, up for 1 h 0 min\n"
        " listening on 127.0.0.1:53; 2 of 2 agents up\n"
        " agents state since rtt asked\n"
        " 10.0.0.11:8600 up 6 min # ms 1,234\n"
        " 10.0.0.12:8600 up 6 min # ms 1,234\n"
        " recursors state since rtt asked\n"
        " 10.0.0.53:53 up 6 min # ms 1,234\n"
        " who is asked policy first\n"
        " consul ordered 10.0.0.11:8600 the first in order, and up\n"
        " everything else ordered 10.0.0.53:53 the only one, and up\n"
        " counters queries hot cached reused joined forwarded stale failed\n"
        " since its start 12,345 10,000 2,000 100 45 300 0 0\n"
        " asked of upstreams 310, hedges 10\n"
        " cache: 42 answers of 10,000 at most, 3 of them denials; 2 questions in flight\n"
        " watches: 1 of 100 at most; answers dropped for a change: 0\n"
        " changes ago\n"
        f" {time.strftime('%H:%M:%S', time.localtime(NOW - 60))}"
        " 1 min agent 10.0.0.12:8600 suspect -> up it is back\n"
    )


def test_an_agent_is_down(show: Any) -> None:
    done = show(down())
    assert done.code == 1
    assert "serve on db1: 1 thing is wrong\n" in done.out
    assert "\n  ! agent 10.0.0.11:8600 is down\n" in done.out
    assert " 10.0.0.11:8600 down 12 s " in done.plain


@pytest.mark.parametrize("state", ["suspect", "probing"])
def test_an_agent_is_in_doubt(show: Any, state: str) -> None:
    first = upstream(AGENTS[0], state=state)
    done = show(running(resolver(upstreams=(first, upstream(AGENTS[1])))))
    assert (done.code, f"  ! agent {AGENTS[0]} is {state}\n" in done.out) == (1, True)


def test_an_agent_that_was_taken_out_may_be_stopped(show: Any) -> None:
    first = upstream(AGENTS[0], state="down", drained=True)
    done = show(running(resolver(upstreams=(first, upstream(AGENTS[1])))))
    assert (done.code, done.out.splitlines()[0]) == (0, "serve on db1: all is well")
    assert f" {AGENTS[0]} down, drained " in done.plain


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"ready": False, "faults": ("no agent is up",)}, "it does not do what it is for"),
        ({"faults": ("the token is refused", "and that")}, "2 things are wrong"),
        ({"phase": "starting", "ready": False}, "starting"),
        ({"phase": "stopping"}, "stopping"),
    ],
)
def test_what_is_not_well_ends_with_1(show: Any, values: dict[str, Any], verdict: str) -> None:
    done = show(running(**values))
    assert done.code == 1
    assert done.out.startswith(f"serve on db1: {verdict}\n")
    for fault in values.get("faults", ()):
        assert f"\n  ! {fault}\n" in done.out


def test_a_drained_agent_is_no_fault(show: Any) -> None:
    drained = upstream(AGENTS[0], drained=True, behind="old data")
    done = show(running(resolver(upstreams=(drained, upstream(AGENTS[1])))))
    assert done.code == 0
    assert " 10.0.0.11:8600 up, drained " in done.plain
    assert "asked behind the others: old data" in done.out


def test_zones_and_files(show: Any) -> None:
    target = TargetSeen("file /var/svc.zone", 2026113001, NOW - 30, "+1 -2", "", 0.0, 12, 30,
                        ("- web A 10.0.0.1",) * 7, 9)  # fmt: skip
    failing = TargetSeen("10.0.0.53:53", fault="REFUSED", failing_since=NOW - 90)
    zone = ZoneSeen("svc.example.com", "", "active", "consulfwd at db1", NOW - 100,
                    faults=("svc.example.com: 10.0.0.53:53: REFUSED",), paused="paused by me",
                    targets=(target, failing), objections_in_all=2)  # fmt: skip
    done = show(running(verb="zone", resolver=None, zones=(zone,)))
    assert done.code == 1
    assert "zone svc.example.com: active for 1 min, written by consulfwd at db1\n" in done.out
    assert " file /var/svc.zone 2026113001 " in done.plain
    assert "zone on db1: 2 things are wrong\n" in done.out
    assert "! svc.example.com: 10.0.0.53:53: REFUSED\n" in done.out
    assert "! svc.example.com: paused by me\n" in done.out
    assert " 10.0.0.53:53 fails: REFUSED (for 1 min)\n" in done.out
    assert done.out.count("withheld at file /var/svc.zone: - web A 10.0.0.1\n") == 5
    assert "(and 4 more)\n" in done.out
    rounds = RoundsSeen("bind in /etc/bind", False, NOW - 60, NOW - 30)
    said = ("named-checkconf: no",)
    done = show(running(verb="generate", resolver=None, rounds=rounds, ready=False, faults=said))
    assert done.code == 1
    assert "bind in /etc/bind: not in force, written " in done.out
    assert "! named-checkconf: no\n" in done.out
    assert " failing for 30 s\n" in done.out


def test_a_change_of_another_day_has_its_date(show: Any) -> None:
    old = replace(resolver().changes[0], at=NOW - 2 * 86400)
    day = time.strftime("%Y-%m-%d", time.localtime(NOW - 2 * 86400))
    assert f"\n {day} " in show(running(resolver(changes=(old,)))).plain


def test_all_watches_and_changes_on_request(show: Any) -> None:
    many = tuple(replace(resolver().changes[0], at=NOW - age) for age in range(20))
    seen = running(resolver(changes=many))
    brief, whole = show(seen), show(seen, "--all")
    assert brief.out.count("it is back") == 6
    assert "(and 14 before those: --all)" in brief.out
    assert "service web" not in brief.out
    assert whole.out.count("it is back") == 20
    assert " service web 10.0.0.11:8600 50 s 7 2 of 3 4\n" in whole.plain


def test_json_is_what_the_process_said(show: Any, here: Path) -> None:
    done = show(reply({**to_json(running()), "later": {"than": 1}}), "--json")
    (found,) = json.loads(done.out)
    assert found["socket"] == str(here)
    assert found["status"]["later"] == {"than": 1}
    assert found["status"]["resolver"]["cache"]["size"] == 10000
    assert done.code == 0


def test_another_version_is_read_as_far_as_it_goes(show: Any) -> None:
    said = to_json(running())
    said["version"] = "0.9.0"
    said["more"] = said["resolver"]["groups"][0]["more"] = [1]
    del said["resolver"]["cache"]
    said["resolver"]["watches"] = "many"
    for one in said["resolver"]["upstreams"]:
        del one["since"]
    # As JSON has it.
    done = show(reply(json.loads(json.dumps(said))))
    assert done.code == 0
    assert " 10.0.0.11:8600 up - # ms 1,234\n" in done.plain
    told = "not told by consulfwd 0.9.0, which is another version: "
    assert f"{told}resolver.upstreams.since, resolver.cache, resolver.watches\n" in done.out


def test_no_name_moves_the_cursor(show: Any) -> None:
    evil = "\x1b[2J\x1b]0;gone\x07\nall is well\u202e"
    said = running(
        resolver(upstreams=(upstream(f"{evil}:53", behind=evil),), querylog=evil),
        host=evil, line=evil, faults=(evil,), version=evil,
    )  # fmt: skip
    for words in ((), ("--all",), ("--json",)):
        done = show(said, *words)
        assert all(one.isprintable() for one in done.out.replace("\n", ""))
        assert "\nall is well" not in done.out


def hung(connection: socket.socket) -> None:
    connection.recv(1)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def endless_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: more\r\n")


BROKEN: dict[str, Say] = {
    "nothing": b"",
    "not HTTP": b"220 mail.example.com ESMTP\r\n",
    "half a reply": reply(to_json(running()))[:-100],
    "no JSON": reply({})[:-2] + b"[[",
    "a list": reply([1, 2]),
    "another's JSON": reply({"version": "2.1", "tagline": "You know, for search"}),
    "wrong types": reply({**dict.fromkeys(to_json(running()), 7), "verb": []}),
    "an error": reply({"error": "the event loop\x1b[31m hangs"}, 503),
    "an error of somebody's": b"HTTP/1.0 500 Oops\r\nContent-Type: text/html\r\n\r\n<b>\x1b[2J",
    "endless": endless,
    "an endless head": endless_head,
    "hung": hung,
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_reply_is_one_line(
    show: Any, here: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(client, "LARGEST", 1 << 20)
    monkeypatch.setattr("consulfwd.cli.asking.PATIENCE", 0.5)
    done = show(BROKEN[what])
    if what == "wrong types":
        assert "another version" in done.out
        return
    assert done.code == 3
    assert done.out == ""
    assert done.err.startswith("consulfwd: ")
    assert str(here) in done.err
    assert done.err.count("\n") == 1
    assert done.err[:-1].isprintable()


def test_nobody_is_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("status", "--socket", str(tmp_path / "none.sock"))
    assert done.code == 3
    assert f"nobody answers at {tmp_path / 'none.sock'}" in done.err
    looked_for(tmp_path, monkeypatch)
    done = run("status")
    assert done.code == 3
    assert "is consulfwd running" in done.err


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Admin]]:
    """A resolver and a publisher, where they are looked for."""
    looked_for(tmp_path, monkeypatch)
    zone = running(verb="zone", resolver=None, pid=2, zones=(ZoneSeen("a.example", "", "active",
                   "here"),))  # fmt: skip
    serve, publisher = tmp_path / "serve.sock", tmp_path / "zone.sock"
    with Admin(serve, running()) as one, Admin(publisher, zone) as two:
        yield {"serve": one, "zone": two}


def test_all_processes_are_shown(run: Run, several: dict[str, Admin]) -> None:
    done = run("status")
    assert done.code == 0
    assert [one for one in done.out.splitlines() if " on db1: " in one] == [
        "serve on db1: all is well", "zone on db1: all is well"
    ]  # fmt: skip
    several["zone"].says["GET /status.json"] = reply({"error": "it hangs"}, 503)
    done = run("status")
    assert done.code == 1
    assert done.err == f"consulfwd: {several['zone'].path}: it hangs\n"
    assert len(json.loads(run("status", "--json").out)) == 2


def test_changes_as_they_come(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a terminal: a line for what has changed, and none for what has not."""
    later = resolver(
        upstreams=(upstream(AGENTS[0], state="down"), upstream(AGENTS[1], drained=True)),
        changes=(*resolver().changes, replace(resolver().changes[0], at=NOW, server=AGENTS[0],
                 before="up", after="down", why="connection refused")),
        groups=(replace(resolver().groups[0], first=AGENTS[1], why="the first that is up"),),
    )  # fmt: skip
    busier = resolver(counters={"queries": 20000}, in_flight=7)
    pictures: list[Snapshot | str] = [
        running(),
        running(busier, taken=NOW + 1),
        running(later, taken=NOW + 2),
        "it hangs",
        running(later, taken=NOW + 9),
        running(pid=5, started=NOW + 10),
    ]
    with Admin(here, running()) as process:

        def then(seconds: float) -> None:
            if not pictures:
                raise KeyboardInterrupt
            said = pictures.pop(0)
            process.says["GET /status.json"] = (
                reply({"error": said}, 503) if isinstance(said, str) else reply(to_json(said))
            )

        monkeypatch.setattr(status, "sleep", then)
        done = run("status", "--watch", "--socket", str(here))
    assert done.code == 130
    assert [line[9:] for line in done.out.splitlines()] == [
        "serve on db1: all is well (listening on 127.0.0.1:53; 2 of 2 agents up)",
        "serve on db1: 1 thing is wrong (listening on 127.0.0.1:53; 2 of 2 agents up)",
        "  ! agent 10.0.0.11:8600 is down",
        "  agent 10.0.0.11:8600: up -> down: connection refused",
        "  consul: 10.0.0.12:8600 is asked first, the first that is up",
        "  agent 10.0.0.12:8600: taken out for work",
        f"{here}: it hangs",
        "serve on db1: 1 thing is wrong (listening on 127.0.0.1:53; 2 of 2 agents up)",
        "  ! agent 10.0.0.11:8600 is down",
        "serve on db1: another process, pid 5",
        "serve on db1: all is well (listening on 127.0.0.1:53; 2 of 2 agents up)",
    ]


def test_pictures_as_they_come_for_machines(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [1, 1]

    def then(seconds: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()

    monkeypatch.setattr(status, "sleep", then)
    with Admin(here, running()):
        done = run("status", "--watch", "--json", "--socket", str(here))
    assert done.code == 130
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [one["status"]["pid"] for one in found] == [4711] * 3


class Terminal:
    """`consulfwd status --watch` on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        # In a group of its own: a group without a parent in its session, as a test may be run in,
        # cannot be stopped.
        code = "import os; os.setpgrp(); from consulfwd.cli.main import main; main()"
        command = [sys.executable, "-c", code, "status", "--watch", *words]
        environ = {**os.environ, "TERM": "xterm", "LINES": "12", "COLUMNS": "60"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, close_fds=True
        )
        os.close(theirs)
        self.shown = ""

    def until(self, text: str, after: int = 0) -> int:
        """Wait until it has shown a text, return where that ends."""
        ends = time.monotonic() + 20
        while (at := self.shown.find(text, after)) < 0:
            assert time.monotonic() < ends, self.shown
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._ours, 65536).decode()
                except OSError:
                    break  # it has ended
        assert at >= 0, self.shown
        return at + len(text)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def test_a_live_screen(here: Path) -> None:
    """Drawn over itself in one go; stopped, continued and ended it gives the terminal back."""
    with Admin(here, running(version="\x1b[5mevil")) as process:
        terminal = Terminal("--socket", str(here))
        try:
            at = terminal.until("Ctrl-C ends it")
            assert ENTER in terminal.shown
            assert "\x1b[32mserve on db1: all is well\x1b[0m" in terminal.shown
            assert "\x1b[5m" not in terminal.shown
            assert "\\x1b[5mevil" in terminal.shown
            assert "lines more" in terminal.shown
            frame = terminal.shown.partition(ENTER)[2]
            assert "\x1b[2J" not in frame
            assert frame.count("\r\n") == 11
            counted = resolver(counters={"queries": 12445}, upstreams=())
            process.says["GET /status.json"] = reply(to_json(running(counted, taken=NOW + 10)))
            at = terminal.until("in a second", at)
            at = terminal.until("10", at)
            # The same picture again: what was counted stays.
            at = terminal.until("Ctrl-C ends it", at)
            at = terminal.until("in a second", at)
            os.kill(terminal.process.pid, signal.SIGTSTP)
            at = terminal.until(LEAVE, at)
            _, state = os.waitpid(terminal.process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(state)
            os.kill(terminal.process.pid, signal.SIGCONT)
            at = terminal.until(ENTER, at)
            at = terminal.until("Ctrl-C ends it", at)
            os.kill(terminal.process.pid, signal.SIGINT)
            terminal.until(LEAVE, at)
            assert terminal.process.wait(10) == 130
            assert "Traceback" not in terminal.shown
        finally:
            terminal.close()
