"""`consulfwd drain`, `cache`, `querylog` and `explain`: what is asked, and how replies are told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from consulfwd.cli import asking, drain
from consulfwd.cli.main import cli
from consulfwd.errors import ConsulfwdError
from consulfwd.ops.snapshot import to_json
from tests.cli.admin import AGENTS, Admin, looked_for, reply, resolver, running, upstream
from tests.cli.conftest import Run

EVIL = "\x1b[2J\nevil"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Admin]:
    with Admin(tmp_path / "serve.sock", running()) as found:
        yield found


@pytest.fixture
def at(run: Run, process: Admin) -> Run:
    """Run a command that asks the process."""

    def consulfwd(*words: str) -> Any:
        return run(*words, "--socket", str(process.path))

    return consulfwd


def orders(process: Admin) -> list[tuple[str, Any]]:
    return [(what[13:], body) for what, body in process.asked if what.startswith("POST")]


# -- drain ----------------------------------------------------------------------------------------


def picture(waiting: int, drained: bool = True) -> bytes:
    first = upstream(AGENTS[0], drained=drained, waiting=waiting)
    return reply(to_json(running(resolver(upstreams=(first, upstream(AGENTS[1]))))))


def test_drain_waits_for_what_is_unanswered(
    at: Run, process: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first is of before the order.
    pictures = [picture(0, drained=False), picture(3), picture(1), picture(0)]
    process.says["GET /status.json"] = lambda connection: connection.sendall(pictures.pop(0))
    process.says["POST /orders/drain"] = reply({"server": AGENTS[0], "others": [AGENTS[1]]})
    monkeypatch.setattr(drain, "sleep", lambda seconds: None)
    done = at("drain", "10.0.0.11")
    assert pictures == []
    assert orders(process) == [("drain", {"server": "10.0.0.11", "force": False})]
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "10.0.0.11:8600 is drained: it is asked nothing more, 10.0.0.12:8600 is up\n"
        "nothing is unanswered there\n"
        "to have it asked again: consulfwd undrain 10.0.0.11:8600\n"
    )


def test_drain_says_what_is_unanswered_after_its_time(at: Run, process: Admin) -> None:
    process.says["GET /status.json"] = picture(2)
    process.says["POST /orders/drain"] = reply({"server": AGENTS[0], "others": [AGENTS[1]]})
    done = at("drain", AGENTS[0], "--wait", "0")
    assert done.code == 1
    assert "2 questions are unanswered there still\n" in done.out
    done = at("drain", AGENTS[0], "--wait", "0", "--json")
    found = {"server": AGENTS[0], "others": [AGENTS[1]], "waiting": 2}
    assert (done.code, json.loads(done.out)) == (1, found)


def test_the_last_one_is_drained_by_force(at: Run, process: Admin) -> None:
    said = f"{AGENTS[0]} is the last one that is up"
    process.says["POST /orders/drain"] = reply({"error": said}, 409)
    done = at("drain", AGENTS[0])
    assert (done.code, done.out, done.err) == (1, "", f"consulfwd: {said}\n")
    process.says["POST /orders/drain"] = reply({"server": AGENTS[0], "others": []})
    done = at("drain", AGENTS[0], "--force")
    assert orders(process)[-1] == ("drain", {"server": AGENTS[0], "force": True})
    assert done.code == 0
    assert done.out.startswith(f"{AGENTS[0]} is drained, and asked all the same: no other is up\n")


def test_undrain(at: Run, process: Admin) -> None:
    process.says["POST /orders/undrain"] = reply({"server": AGENTS[0]})
    done = at("undrain", AGENTS[0])
    assert (done.code, done.out) == (0, f"{AGENTS[0]} is asked again\n")
    assert orders(process) == [("undrain", {"server": AGENTS[0]})]


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 3), (403, 3), (404, 2), (409, 1), (421, 1), (503, 3)]
)
def test_what_is_refused(at: Run, process: Admin, status: int, code: int) -> None:
    process.says["POST /orders/undrain"] = reply({"error": f"no{EVIL}"}, status)
    done = at("undrain", "nobody")
    assert (done.code, done.out) == (code, "")
    assert done.err == "consulfwd: no\\x1b[2J\\nevil\n"


def completed(*words: str) -> list[str]:
    """What a shell is offered for the last of the words."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    with command.make_context(words[0], list(words[1:-1]), resilient_parsing=True) as context:
        (argument,) = (one for one in command.params if isinstance(one, click.Argument))
        return [one.value for one in argument.shell_complete(context, words[-1])]


def test_agents_are_completed(process: Admin, tmp_path: Path) -> None:
    socket = ["--socket", str(process.path)]
    assert completed("drain", *socket, "") == [*AGENTS, "10.0.0.53:53"]
    assert completed("undrain", *socket, "10.0.0.12") == [AGENTS[1]]
    assert completed("drain", "--socket", str(tmp_path / "nobody"), "") == []
    process.says["GET /status.json"] = b"nonsense"
    assert completed("drain", *socket, "") == []


# -- cache ----------------------------------------------------------------------------------------

WEB = {
    "name": "web.service.consul.", "type": "A", "flags": ["do"], "what": "10.0.0.1, 10.0.0.2",
    "state": "fresh", "watched": True, "age": 3.0, "ttl": 7.0, "stale_ttl": 3600.0,
    "from": AGENTS[0], "size": 80,
}  # fmt: skip


def test_cache_show(at: Run, process: Admin) -> None:
    stale = {**WEB, "state": "stale", "flags": [], "ttl": 0, "name": "db.service.consul."}
    process.says["POST /orders/cache"] = reply({"entries": [WEB, stale], "in_all": 12})
    done = at("cache", "show", "--limit", "2")
    assert orders(process) == [("cache", {"name": None, "subtree": False, "limit": 2})]
    assert done.code == 0
    assert done.plain.splitlines() == [
        "name type state left age from says",
        "web.service.consul. A +do fresh # s # s 10.0.0.11:8600 10.0.0.1, 10.0.0.2",
        "db.service.consul. A stale 1 h 0 min # s 10.0.0.11:8600 10.0.0.1, 10.0.0.2",
        "(and 10 more: --limit)",
    ]
    done = at("cache", "show", "service.consul", "--subtree", "--json")
    assert json.loads(done.out)["in_all"] == 12
    assert orders(process)[-1][1] == {"name": "service.consul", "subtree": True, "limit": 100}


def test_cache_show_of_what_is_not_kept(at: Run, process: Admin) -> None:
    process.says["POST /orders/cache"] = reply({"entries": [], "in_all": 0})
    done = at("cache", "show", "10.0.0.1")
    assert orders(process)[0][1]["name"] == "1.0.0.10.in-addr.arpa"
    assert (done.code, done.out) == (1, "nothing is kept of 1.0.0.10.in-addr.arpa\n")


@pytest.mark.parametrize(
    ("words", "values", "said"),
    [
        (["web.service.consul"], ("web.service.consul", False), "3 answers of web.service.consul"),
        (["--subtree", "service.consul"], ("service.consul", True),
         "3 answers of service.consul and below"),
        (["--all"], (".", True), "3 answers, all there were"),
    ],
)  # fmt: skip
def test_cache_flush(
    at: Run, process: Admin, words: list[str], values: tuple[str, bool], said: str
) -> None:
    process.says["POST /orders/flush"] = reply({"dropped": 3})
    done = at("cache", "flush", *words)
    assert (done.code, done.out) == (0, f"dropped {said}\n")
    name, subtree = values
    assert orders(process) == [("flush", {"name": name, "subtree": subtree})]
    process.says["POST /orders/flush"] = reply({"dropped": 0})
    of = said[10:].replace("all there were", "")
    assert at("cache", "flush", *words).out == f"nothing was kept {of}".strip(" ,") + "\n"


@pytest.mark.parametrize(
    "words",
    [
        ["cache", "flush"], ["cache", "flush", "--subtree"], ["cache", "flush", "a", "--all"],
        ["cache", "flush", "--all", "--subtree"], ["cache", "show", "--subtree"],
        ["cache", "flush", ""], ["cache", "show", "--limit", "0"],
        ["explain"], ["drain"], ["status", "web"], ["querylog", "on", "--sample", "x"],
        ["querylog", "on", "--sample", "0"],
    ],
)  # fmt: skip
def test_wrong_use_asks_nobody(at: Run, process: Admin, words: list[str]) -> None:
    done = at(*words)
    assert done.code == 2
    assert done.err != ""
    assert process.asked == []


# -- explain --------------------------------------------------------------------------------------

EXPLAINED: dict[str, Any] = {
    "name": "web.service.consul.", "type": "A", "rule": "consul. -> Consul agents",
    "kind": "Consul agents", "then": None, "cache": WEB, "alias": None,
    "watch": {"subject": "service web", "carrier": AGENTS[0], "armed": True, "seconds": 50.0,
              "instances": 3, "healthy": 2, "covers": True, "settles": False, "left": 0},
    "failed": {"reason": "nobody answered", "ede": 22, "seconds": 4.0},
    "in_flight": {"seconds": 0.1, "waiting": 2, "asked": [AGENTS[0]]},
    "order": [{"server": AGENTS[1], "state": "up", "why": "first: it is up", "wait": 0.02},
              {"server": AGENTS[0], "state": "down", "why": "then: it is down", "wait": 0.02}],
    "deadline": 2.0, "now": "10.0.0.1, 10.0.0.2: from the cache, it is fresh",
}  # fmt: skip


def test_explain(at: Run, process: Admin) -> None:
    process.says["POST /orders/explain"] = reply(EXPLAINED)
    done = at("explain", "web.service.consul")
    assert orders(process) == [("explain", {"name": "web.service.consul", "type": "A"})]
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "web.service.consul. A\n"
        "  now     10.0.0.1, 10.0.0.2: from the cache, it is fresh\n"
        "  rule    consul. -> Consul agents\n"
        "  cache   10.0.0.1, 10.0.0.2: fresh for 7.0 s; from 10.0.0.11:8600 3.0 s ago\n"
        "  watch   service web at 10.0.0.11:8600, for 50 s: 2 of 3 healthy\n"
        "  failed  nobody answered (EDE 22), which counts for 4.0 s\n"
        "  asked   now, for 100 ms: 10.0.0.11:8600; 2 clients wait\n"
        "  would ask       state                    next after\n"
        "  10.0.0.12:8600  up     first: it is up   20.0 ms\n"
        "  10.0.0.11:8600  down   then: it is down  20.0 ms\n"
        "  given up after 2.0 s\n"
    )
    assert json.loads(at("explain", "web.service.consul", "--json").out) == EXPLAINED


@pytest.mark.parametrize(
    ("settles", "left", "more"),
    [
        (True, 1, "; it has just changed"),
        (False, 1, "; 1 left a moment ago, which agents may not know yet"),
        (False, 0, ""),
    ],
)
def test_explain_tells_of_what_has_changed(
    at: Run, process: Admin, *, settles: bool, left: int, more: str
) -> None:
    watch = {**EXPLAINED["watch"], "settles": settles, "left": left}
    process.says["POST /orders/explain"] = reply({**EXPLAINED, "watch": watch})
    line = f"  watch   service web at 10.0.0.11:8600, for 50 s: 2 of 3 healthy{more}\n"
    assert line in at("explain", "web.service.consul").out


def test_explain_that_there_would_be_no_answer(at: Run, process: Admin) -> None:
    said: dict[str, Any] = {
        "name": "a.example.", "type": "MX", "now": "SERVFAIL: no upstream is configured",
        "then": "the recursors", "cache": None, "order": [],
    }  # fmt: skip
    process.says["POST /orders/explain"] = reply(said)
    done = at("explain", "a.example", "MX")
    assert done.code == 1
    assert done.plain.splitlines() == [
        "a.example. MX", " now SERVFAIL: no upstream is configured",
        " rule ; else the recursors", " cache nothing is kept",
    ]  # fmt: skip


def spoilt(value: object) -> object:
    """The same with another type of everything, and with what a terminal would obey."""
    if isinstance(value, dict):
        return {**{key: spoilt(one) for key, one in value.items()}, "more": [EVIL]}
    if isinstance(value, list):
        return [*map(spoilt, value), EVIL, None]
    return EVIL if isinstance(value, str) else [EVIL]


@pytest.mark.parametrize(
    ("words", "target", "said"),
    [
        (["explain", "a"], "explain", EXPLAINED),
        (["explain", "a"], "explain", {}),
        (["cache", "show"], "cache", {"entries": [WEB], "in_all": 1}),
        (["cache", "show"], "cache", {"entries": [{}]}),
        (["cache", "flush", "a"], "flush", {"dropped": 3}),
        (["undrain", "a"], "undrain", {"server": "a"}),
        (["querylog", "off"], "querylog", {"querylog": "on"}),
        (["drain", "a", "--wait=0"], "drain", {"server": "a", "others": ["b"]}),
    ],
)
def test_whatever_comes_is_shown_and_obeyed_by_no_terminal(
    at: Run, process: Admin, words: list[str], target: str, said: dict[str, Any]
) -> None:
    for value in (said, spoilt(said)):
        process.says[f"POST /orders/{target}"] = reply(value)
        for more in ([], ["--json"]):
            done = at(*words, *more)
            assert done.code in (0, 1)
            assert all(one.isprintable() for one in done.out.replace("\n", ""))
            assert "\nevil" not in done.out


# -- whom to ask ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where processes are looked for."""
    found = tmp_path / "run" / "consulfwd"
    found.mkdir(parents=True)
    looked_for(found, monkeypatch)
    return found


def test_the_resolver_is_asked_of_several_processes(run: Run, folder: Path) -> None:
    with Admin(folder / "zone.sock", {}), Admin(folder / "serve.sock", {}) as serve:
        serve.says["POST /orders/flush"] = reply({"dropped": 1})
        assert run("cache", "flush", "a").code == 0
        assert len(orders(serve)) == 1


def test_of_several_resolvers_one_must_be_named(run: Run, folder: Path) -> None:
    (folder / "b").mkdir()
    with Admin(folder / "serve.sock", {}), Admin(folder / "b" / "serve.sock", {}):
        done = run("cache", "flush", "a")
    assert done.code == 2
    assert "several resolvers run here: say which with --socket" in done.err
    assert str(folder / "b" / "serve.sock") in done.err


def test_there_is_no_resolver(run: Run, folder: Path) -> None:
    with Admin(folder / "zone.sock", {}) as zone:
        with Admin(folder / "render-a.sock", {}):
            assert "no resolver runs here, only others" in run("drain", "a").err
        done = run("drain", "a")
        assert done.code == 2
        assert "no resolver runs here, only others" in done.err
        assert zone.asked == []
    assert run("drain", "a").code == 3


# -- the query log --------------------------------------------------------------------------------

NOTED = {
    "time": "2026-11-30T02:16:01.123Z", "name": f"web{EVIL}.consul.", "type": "A",
    "client": "127.0.0.1", "port": 4711, "transport": "udp", "rcode": "NOERROR", "from": "cache",
    "server": AGENTS[0], "ms": 0.1, "octets": 80,
}  # fmt: skip


def stream(*lines: bytes, then: bytes = b"") -> Callable[[socket.socket], None]:
    """What is said to who wants to see queries: lines, each a chunk, then the end."""

    def say(connection: socket.socket) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for line in lines:
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        connection.sendall(then)

    return say


def test_queries_are_switched(at: Run, process: Admin) -> None:
    process.says["POST /orders/querylog"] = reply({"querylog": "to the log, 1 % of them"})
    done = at("querylog", "on", "--sample", "0.01")
    assert (done.code, done.out) == (0, "queries: to the log, 1 % of them\n")
    process.says["POST /orders/querylog"] = reply({"querylog": ""})
    assert at("querylog", "off").out == "queries: not logged\n"
    assert orders(process) == [
        ("querylog", {"state": "on", "sample": 0.01}),
        ("querylog", {"state": "off"}),
    ]


END = b"0\r\n\r\n"


def test_queries_are_shown_until_the_resolver_ends(at: Run, process: Admin) -> None:
    lines = (json.dumps(NOTED).encode() + b"\n", b"\n", b'{"later": "\x1b["}\n', b"\x1b[2J\n")
    process.says["GET /querylog"] = stream(*lines, then=END)
    done = at("querylog", "tail")
    assert (done.code, done.err) == (0, "")
    first, *others = done.out.splitlines()
    assert first.startswith("2026-11-30T02:16:01.123Z web\\x1b[2J\\nevil.consul. A from 127.0.0.1")
    assert others == ['{"later": "\\x1b["}', "\\x1b[2J"]
    process.says["GET /querylog"] = stream(b'{"dropped":7}\n', then=END)
    assert at("querylog", "tail").out.startswith("(7 queries left out: ")
    process.says["GET /querylog?sample=0.5"] = stream(*lines[:2], then=END)
    done = at("querylog", "tail", "--sample", "0.5", "--json")
    assert done.code == 0
    assert json.loads(done.out) == NOTED
    process.says["GET /querylog"] = stream(*lines[:1], then=b"5\r\nhal")
    done = at("querylog", "tail")
    assert done.out.count("\n") == 1
    process.says["GET /querylog"] = reply({"error": f"nothing of that kind{EVIL}"}, 404)
    done = at("querylog", "tail")
    assert (done.code, done.out) == (3, "")
    assert done.err[:-1].isprintable()


@pytest.mark.parametrize("end", ["interrupt", "pipe"])
def test_who_looks_at_queries_ends_as_others_do(process: Admin, end: str) -> None:
    """By Ctrl-C, and where nobody reads what is printed any more."""
    going = True

    def say(connection: socket.socket) -> None:
        stream()(connection)
        line = json.dumps(NOTED).encode() + b"\n"
        while going:
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    process.says["GET /querylog"] = say
    words = ["querylog", "tail", "--socket", str(process.path)]
    with subprocess.Popen(
        [sys.executable, "-m", "consulfwd", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert b"web" in tail.stdout.readline()
        if end == "interrupt":
            os.kill(tail.pid, signal.SIGINT)
            tail.stdout.read()
        else:
            tail.stdout.close()
        try:
            assert tail.wait(10) == (130 if end == "interrupt" else 141)
            # Behind the ^C of a terminal.
            assert tail.stderr.read().strip() == b""
        finally:
            going = False
            tail.kill()


# -- whoever answers ------------------------------------------------------------------------------


def test_what_is_nested_too_deeply_is_an_error(at: Run, process: Admin) -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(ConsulfwdError, match="nested too deeply"):
        asking.echo_json({"entries": deep})
    lines = b"[" * 100_000 + b"\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    process.says["GET /querylog"] = head % len(lines) + lines
    for words in ((), ("--json",)):
        done = at("querylog", "tail", *words)
        assert (done.code, done.err) == (0, "")
        assert done.out == lines.decode()
