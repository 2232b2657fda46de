"""`--watch` as a service: what its manager hears, what SIGHUP reads again, what stays in force."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.consul.replies import servers
from tests.test_notify import Listener

PROGRAM = [sys.executable, "-m", "consulfwd.cli.main"]
REFUSED = "STATUS=the last reload was refused, see the log; keeping "


class Agent:
    """Consul's HTTP API as far as it is asked here; `tokens` are those that came, in order.

    While it `refuses`, it knows none of them.
    """

    def __init__(self, service: str) -> None:
        self.tokens: list[str] = []
        self.refuses = False
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent.tokens.append(self.headers.get("X-Consul-Token", ""))
                if "index=" in self.path:
                    agent.ended.wait(1)
                known: object = {service: []}
                if self.path.startswith("/v1/health/service/"):
                    known = servers("10.0.0.21")
                elif self.path == "/v1/status/peers":
                    known = ["10.0.0.21:8300"]
                # It may begin or end in the middle of this.
                refuses = agent.refuses
                body = b"ACL not found" if refuses else json.dumps(known).encode()
                self.send_response(403 if refuses else 200)
                for name, value in (
                    ("X-Consul-Index", "7"),
                    ("X-Consul-KnownLeader", "true"),
                    ("X-Consul-LastContact", "0"),
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def settings(self, token_file: Path) -> str:
        port = self._server.server_port
        return (
            "resolv_conf: /nonexistent\nconsul:\n  agents:\n"
            f"    - {{address: 127.0.0.1, http_port: {port}, token_file: {token_file}}}\n"
        )

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def agents() -> Iterator[tuple[Agent, Agent]]:
    both = Agent("one"), Agent("two")
    yield both
    for agent in both:
        agent.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    here = Listener(str(tmp_path / "notify"))
    yield here
    here.socket.close()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "consulfwd.yml"
    file.write_text("resolv_conf: /nonexistent\n")
    return file


@contextmanager
def watching(
    listener: Listener, settings: Path, *words: str | Path, watchdog: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a verb with --watch; it must say that it stops, and end with 0."""
    usual: list[str | Path] = ["--watch", "--quiescence", "0", "-c", settings]
    command = [*PROGRAM, words[0], *usual, *words[1:]]
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": watchdog,
    }
    with (settings.parent / "log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stderr=log)
    with process:
        try:
            yield process
            process.terminate()
            assert listener.until("STOPPING=1") == ["STOPPING=1", "STATUS=stopping"]
            assert process.wait(10) == 0
        finally:
            process.kill()


def status(listener: Listener, *said: str) -> str:
    """The next status that says all this."""
    ends = time.monotonic() + 20
    seen: list[str] = []
    while time.monotonic() < ends:
        for line in listener.next():
            if line.startswith("STATUS=") and all(text in line for text in said):
                return line
            if line not in seen[-1:]:
                seen.append(line)
    raise AssertionError(f"no {said} in {seen}")


def until(true: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.01)


def hang_up(process: subprocess.Popen[bytes], listener: Listener) -> list[str]:
    """Have it read all again; what it says when that is over."""
    process.send_signal(signal.SIGHUP)
    assert listener.until("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
    return listener.until("READY=1")


def test_render_is_ready_when_its_files_are_in_force(
    listener: Listener, settings: Path, tmp_path: Path
) -> None:
    template, dest, ran = tmp_path / "a.tpl", tmp_path / "a.conf", tmp_path / "ran"
    template.write_text("{{ nothing }}")
    # Commands do not speak for us.
    what = f"{template}:{dest}:echo $NOTIFY_SOCKET. >> {ran}"
    with watching(listener, settings, "render", what) as process:
        (first,) = listener.next()
        assert first.startswith(f"STATUS=keeping {dest} current since ")
        assert first.endswith("; not yet known to be in force")
        (failing,) = listener.next()
        assert failing.endswith(f"stays as it is: {template}:1: 'nothing' is undefined")
        template.write_text("one\n")
        ready, *_ = listener.until("READY=1")
        assert (ready, dest.read_text()) == ("READY=1", "one\n")
        template.write_text("{{ nothing }}")
        status(listener, "'nothing' is undefined")
        # It is ready still: what was in force stays so.
        template.write_text("two\n")
        status(listener, "; all in force, written last ")
        assert dest.read_text() == "two\n"
        settings.write_text("nonsense: 1\n")
        assert hang_up(process, listener)[1].startswith(REFUSED)
        settings.write_text("")
        assert hang_up(process, listener)[1].startswith("STATUS=keeping ")
    assert ran.read_text() == ".\n.\n"
    log = (tmp_path / "log").read_text()
    assert "not reloaded, the old settings stay in force:\n" in log
    assert "consulfwd.yml:1: nonsense" in log


def test_render_that_finds_all_as_it_should_be_is_ready(
    listener: Listener, settings: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.tpl").write_text("one\n")
    (tmp_path / "a.conf").write_text("one\n")
    with watching(listener, settings, "render", f"{tmp_path}/a.tpl:{tmp_path}/a.conf"):
        _, line = listener.until("READY=1")
        assert line.endswith("; all in force")


def test_render_reads_agents_and_tokens_again(
    listener: Listener, settings: Path, tmp_path: Path, agents: tuple[Agent, Agent]
) -> None:
    one, two = agents
    template, dest, token = tmp_path / "a.tpl", tmp_path / "a.conf", tmp_path / "token"
    template.write_text("{{ services() | map(attribute='name') | join(' ') }}")
    token.write_text("first\n")
    settings.write_text(one.settings(token))
    with watching(listener, settings, "render", f"{template}:{dest}") as process:
        listener.until("READY=1")
        assert (dest.read_text(), set(one.tokens)) == ("one", {"first"})
        token.write_text("second\n")
        hang_up(process, listener)
        until(lambda: "second" in one.tokens, "the new token")
        # Settings that cannot be used leave the others in force.
        settings.write_text(f"{two.settings(token)}nonsense: 1\n")
        hang_up(process, listener)
        before = len(one.tokens)
        until(lambda: len(one.tokens) > before + 1, "the same agent, asked on")
        assert two.tokens == []
        settings.write_text(two.settings(token))
        hang_up(process, listener)
        until(lambda: dest.read_text() == "two", "what the other agent says")
        assert set(two.tokens) == {"second"}


def test_generate_tells_its_manager_and_keeps_what_could_be_used(
    listener: Listener, settings: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "consul.conf"
    settings.write_text("consul: {agents: [10.0.0.11]}\n")
    words: list[str | Path] = ["generate", "dnsmasq", "--dest", dest, "--server-version", "2.90"]
    words += ["--no-check", "--no-reload", "--verify", "none"]
    with watching(listener, settings, *words) as process:
        _, line = listener.until("READY=1")
        assert line.startswith("STATUS=keeping dnsmasq's files current since ")
        assert "10.0.0.11" in dest.read_text()
        # A file that changes is read as on SIGHUP.
        settings.write_text("consul: {agents: [10.0.0.12]}\n")
        listener.until("RELOADING=1")
        until(lambda: "10.0.0.12" in dest.read_text(), "the other agent")
        settings.write_text("consul: {agents: [nonsense]}\n")
        listener.until("RELOADING=1")
        status(listener, "the last reload was refused", "; all in force")
        assert hang_up(process, listener) == ["READY=1"]
        assert "10.0.0.12" in dest.read_text()
        settings.write_text("consul: {agents: [10.0.0.13]}\n")
        until(lambda: "10.0.0.13" in dest.read_text(), "mended")
    log = (tmp_path / "log").read_text()
    assert log.count("not reloaded, the old settings stay in force:") == 2
    assert "not rendered" not in log


def test_generate_reads_tokens_again(
    listener: Listener, settings: Path, tmp_path: Path, agents: tuple[Agent, Agent]
) -> None:
    one, _ = agents
    dest, token = tmp_path / "consul.conf", tmp_path / "token"
    token.write_text("first\n")
    settings.write_text(one.settings(token))
    words: list[str | Path] = ["generate", "dnsmasq", "--dest", dest, "--server-version", "2.90"]
    words += ["--from-catalog", "--no-check", "--no-reload", "--verify", "none"]
    with watching(listener, settings, *words) as process:
        listener.until("READY=1")
        assert "10.0.0.21" in dest.read_text()
        assert set(one.tokens) == {"first"}
        token.write_text("second\n")
        hang_up(process, listener)
        until(lambda: "second" in one.tokens, "the new token")


@pytest.mark.parametrize("verb", ["render", "generate"])
def test_the_status_shows_a_refused_token_and_what_cannot_be_asked(
    listener: Listener, settings: Path, tmp_path: Path, agents: tuple[Agent, Agent], verb: str
) -> None:
    """Also where nothing is to be written for it: the files stay as they are."""
    one, _ = agents
    template, dest, token = tmp_path / "a.tpl", tmp_path / "a.conf", tmp_path / "token"
    template.write_text("{% for one in service('consul') %}{{ one.address }}\n{% endfor %}")
    token.write_text("first\n")
    settings.write_text(one.settings(token))
    words: dict[str, list[str | Path]] = {
        "render": ["render", f"{template}:{dest}"],
        "generate": [
            *("generate", "dnsmasq", "--dest", dest, "--server-version", "2.90"),
            *("--from-catalog", "--no-check", "--no-reload", "--verify", "none"),
        ],
    }
    # The manager is told of all that changes within half of the time.
    with watching(listener, settings, *words[verb], watchdog="400000"):
        listener.until("READY=1")
        one.refuses = True
        line = status(
            listener,
            f" refuses the token of {token}: HTTP 403: ACL not found; ",
            "; Consul cannot be asked for service consul",
        )
        assert "; all in force, written last " in line
        one.refuses = False
        until(lambda: "refuses" not in status(listener, "; all in force"), "over")
    assert "10.0.0.21" in dest.read_text()
