"""`consulfwd serve` as processes: the embedded default, signals, and errors before it starts."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.cli.background import Background
from tests.cli.conftest import Run
from tests.loopback import OWN, free_port
from tests.net.world import GALERA

PROGRAM = [sys.executable, "-m", "consulfwd.cli.main"]
NAME = "galeradb.service.consul"


# As much of it as is used; the tests on real servers use the real one.
DIG = """
import sys
import dns.message, dns.query
words = [word for word in sys.argv[1:] if word != "+tcp"]
ask = dns.query.tcp if "+tcp" in sys.argv else dns.query.udp
assert words[0][0] == "@" and words[1] == "-p" and not words[3].startswith(("-", "+")), words
query = dns.message.make_query(*(words[3:] + ["A"])[:2])
print(ask(query, words[0][1:], timeout=5, port=int(words[2])))
"""
# And of curl.
CURL = """
import sys, urllib.request
assert sys.argv[1:4] == ["-s", "-X", "POST"] and len(sys.argv) == 5, sys.argv
urllib.request.urlopen(urllib.request.Request(sys.argv[4], method="POST"), timeout=5).read()
"""


@contextmanager
def served(folder: Path, *words: str, code: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `consulfwd serve`; it must end with `code` when told to, and say nothing odd."""
    port = free_port()
    command = [*PROGRAM, "serve", "--listen", f"{OWN}:{port}", *words]
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder
        )
    try:
        wait_for(folder, "listening on")
        yield process, port
    finally:
        process.terminate()
        ended = process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
    assert ended == code
    assert "Traceback" not in logged(folder)


def logged(folder: Path) -> str:
    return (folder / "stderr").read_text()


def wait_for(folder: Path, text: str) -> None:
    ends = time.monotonic() + 10
    while text not in logged(folder):
        assert time.monotonic() < ends, logged(folder)
        time.sleep(0.01)


def resolved(port: int, name: str = NAME) -> list[str]:
    query = dns.message.make_query(name, "A")
    reply = dns.query.udp(query, OWN, timeout=5, port=port)
    return sorted(str(record) for rrset in reply.answer for record in rrset)


def hints(process: subprocess.Popen[str]) -> list[str]:
    """The commands the embedded default prints."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        lines.append(process.stdout.readline())
        assert lines[-1]
    return [line.strip() for line in lines if line.startswith("  ")]


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of the test."""
    (tmp_path / "nothing.yml").write_text("resolv_conf: /nonexistent/resolv.conf\n")
    monkeypatch.setenv("CONSULFWD_CONFIG", str(tmp_path / "nothing.yml"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


def moves(shell: str, commands: list[str]) -> None:
    """The name that moves does so when it is told to, as all commands say."""

    def said(command: str) -> str:
        ended = subprocess.run(
            ["bash", "-c", shell + command], capture_output=True, text=True, timeout=20
        )
        assert (ended.returncode, ended.stderr) in ((0, ""), (1, "")), command
        return ended.stdout

    asked, as_text, ill, well, shown = commands
    for order, address in (("", "127.0.0.11"), (ill, "127.0.0.12"), (well, "127.0.0.11")):
        if order:
            said(order)
        deadline = time.monotonic() + 10
        while address not in said(asked):
            assert time.monotonic() < deadline, (order, said(shown))
            time.sleep(0.05)
    assert "127.0.0.12" in said(as_text)
    assert "www.demo.test" in said(shown)


def works_to_the_letter(folder: Path) -> None:
    """What the embedded default prints for a user to try does what is expected."""
    with served(folder, "--dev") as (process, port):
        commands = hints(process)
        assert [command.split()[0].rsplit("/", 1)[-1] for command in commands] == [
            "dig", "dig", "dig", "consulfwd", "consulfwd", "consulfwd",
            "dig", "dig", "curl", "curl", "consulfwd",
        ]  # fmt: skip
        shell = f'consulfwd() {{ {shlex.join(PROGRAM)} "$@"; }}\n'
        moves(shell, [commands.pop(6) for _ in range(5)])
        status = commands.pop()
        for command in commands:
            ended = subprocess.run(
                ["bash", "-c", shell + command], capture_output=True, text=True, timeout=20
            )
            assert (ended.returncode, ended.stderr) == (0, ""), command
            found = set(re.findall(r"10\.0\.10\.1[123]", ended.stdout))
            assert (command, found) == (command, set(GALERA))
        assert f"{OWN}:{port}" in commands[3]
        assert "SRV" in commands[1]
        assert (
            "taken"
            in subprocess.run(
                ["bash", "-c", shell + commands[4]], capture_output=True, text=True
            ).stdout
        )
        seen = subprocess.run(["bash", "-c", shell + status], capture_output=True, text=True)
        assert (seen.stderr, f"listening on {OWN}:{port}" in seen.stdout) == ("", True), status


def test_what_the_embedded_default_prints_works_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("dig", DIG), ("curl", CURL)):
        (programs / name).write_text(f"#!{sys.executable}\n{text}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    works_to_the_letter(tmp_path)


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, agents: Background) -> None:
    file = tmp_path / "consulfwd.yml"
    settings = {
        "consul": {"agents": [{"address": OWN, "dns_port": agents.agents[0].dns_port}]},
        "resolv_conf": "/nonexistent/resolv.conf",
        "log": {"format": "json", "queries": True},
    }
    file.write_text(json.dumps(settings))
    with served(tmp_path, "-c", "consulfwd.yml") as (process, port):
        assert resolved(port) == GALERA
        process.send_signal(signal.SIGUSR1)
        wait_for(tmp_path, "queries in flight 0")
        # Bad settings change nothing; good ones are taken as a whole.
        file.write_text("consul: {agents: nonsense}\ncache: {size: -1}\n")
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path, "not reloaded")
        assert resolved(port) == GALERA
        settings["consul"]["domain"] = "new"  # type: ignore[index]
        settings["log"] = {"format": "text"}
        file.write_text(json.dumps(settings))
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path, "settings reloaded")
        assert resolved(port, "localhost") == ["127.0.0.1"]
        assert resolved(port) == []
    lines = logged(tmp_path).splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    messages = [one["message"] for one in told]
    asked = next(one for one in told if one.get("name") == f"{NAME}.")
    assert asked["message"].startswith(f"{NAME}. A from 127.0.0.1 over udp: NOERROR, agent 127.")
    assert (asked["rcode"], asked["from"]) == ("NOERROR", "agent")
    assert any(one.startswith("queries 1: hot 0, cached 0") for one in messages)
    assert any(re.match(rf"agent {agents.names[0]}: up for \d", one) for one in messages)
    (refused,) = (one for one in told if one["level"] == "error")
    assert "consulfwd.yml:1: consul.agents" in refused["message"]
    assert "consulfwd.yml:2: cache.size" in refused["message"]
    assert lines[-1].endswith(" INFO stopped")


def test_interrupted(tmp_path: Path, agents: Background) -> None:
    with served(tmp_path, "--agent", agents.names[0], code=130) as (process, port):
        assert resolved(port) == GALERA
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_addresses_that_are_taken(run: Run) -> None:
    with socket.create_server((OWN, 0)) as taken:
        at = f"{OWN}:{taken.getsockname()[1]}"
        ended = run("serve", "--listen", at, "--listen", "192.0.2.1:53")
    assert (ended.code, ended.out) == (3, "")
    first, second = (line for line in ended.err.splitlines() if line.startswith("consulfwd: "))
    assert first.startswith(f"consulfwd: cannot listen on {at}: address already in use; see who")
    assert second.startswith("consulfwd: cannot listen on 192.0.2.1:53: cannot assign requested")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "nonsense"], "--listen"),
        (["--agent", "10.0.0.1:99999"], "--agent"),
        (["-c", "/nonexistent/x.yml"], "/nonexistent/x.yml"),
        (["--dev=nope"], "'nope' is not one of 'embedded', 'consul'"),
        (["--dev", "--definitions", "/nonexistent"], "/nonexistent"),
        (["something"], "unexpected extra argument"),
    ],
)
def test_wrong_use(run: Run, words: list[str], said: str) -> None:
    ended = run("serve", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "listening" not in ended.err


def test_definitions_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "consul.d"
    folder.mkdir()
    (folder / "bad.json").write_text('{"service": {"nam": "x"}}')
    ended = run("serve", "--dev", "--definitions", str(folder), "--listen", f"{OWN}:0")
    assert (ended.code, ended.out) == (2, "")
    assert "bad.json" in ended.err
