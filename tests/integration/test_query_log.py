"""What others read of queries: a real collector, a file that is full, a log that nobody reads."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from tests.integration.asking import ask, data
from tests.integration.served import HOST, SERVE, Served, serve

NAME = "localhost"


class Collector(Child):
    """fstrm_capture, which writes what it is sent into a file when it ends."""

    def __init__(self, folder: Path, guard: Guard, number: int = 1) -> None:
        self.socket, self.taken = folder / "dnstap.sock", folder / f"taken{number}.fstrm"
        command = ["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-dd", "-w", str(self.taken)]
        command += ["-u", str(self.socket)]
        super().__init__("fstrm_capture", command, folder / "said", guard)

    def start(self) -> None:
        """Start it and return when it listens."""
        super().start()
        self.wait_until(self.socket.exists, "listening")

    def messages(self) -> list[str]:
        """End it, and return what BIND's reader makes of its file, a message each."""
        os.kill(self.pid, signal.SIGTERM)
        assert self._process is not None
        self._process.wait(PATIENCE_S)
        self._reap()
        command = ["dnstap-read", "-y", str(self.taken)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [one for one in done.stdout.split("---\n") if one.strip()]


def tapped(folder: Path) -> dict[str, Any]:
    return {
        "dnstap": {"socket": str(folder / "dnstap.sock"), "identity": "ns1", "version": "v 1"}
    }


def said_of(message: str, *fields: str) -> tuple[str, ...]:
    found = []
    for field in fields:
        match = re.search(rf"^ +{field}: (.*)$|^{field}: (.*)$", message, re.MULTILINE)
        found.append("" if match is None else (match[1] or match[2]).strip('"'))
    return tuple(found)


def counted(served: Served, what: str, least: int) -> None:
    """Wait until the file of lines has so many."""
    path = served.file.with_name(what)
    served.wait_until(lambda: path.exists() and path.read_text().count("\n") >= least, "lines")


def test_a_real_collector_reads_what_was_asked(guard: Guard, tmp_path: Path) -> None:
    collector = Collector(tmp_path, guard)
    collector.start()
    try:
        with serve(tapped(tmp_path), tmp_path, guard) as served:
            served.wait_until(lambda: "sent to the collector" in served.said(), "a collector")
            at = served.at
            for tcp in (False, True):
                assert data(ask(at, NAME, tcp=tcp)) == {"127.0.0.1"}
        messages = collector.messages()
    finally:
        collector.kill()
    around = ("type", "identity", "version")
    assert [said_of(one, *around) for one in messages] == [("MESSAGE", "ns1", "v 1")] * 4
    fields = ("type", "socket_protocol", "response_address", "response_port")
    inner = [said_of(one.partition("message:")[2], *fields) for one in messages]
    assert inner == [
        (kind, way, HOST, str(at[1]))
        for way in ("UDP", "TCP")
        for kind in ("CLIENT_QUERY", "CLIENT_RESPONSE")
    ]
    for one in messages:
        assert f"{NAME}. IN A" in one.replace("\t", " ")


def test_a_collector_that_stands_still_dies_and_comes_back(guard: Guard, tmp_path: Path) -> None:
    first = Collector(tmp_path, guard)
    first.start()
    second = Collector(tmp_path, guard, 2)
    try:
        with serve(tapped(tmp_path), tmp_path, guard) as served:
            served.wait_until(lambda: "sent to the collector" in served.said(), "a collector")
            os.kill(first.pid, signal.SIGSTOP)
            took = []
            for _ in range(300):
                began = time.monotonic()
                assert data(ask(served.at, NAME)) == {"127.0.0.1"}
                took.append(time.monotonic() - began)
            first.kill()
            served.wait_until(lambda: "it is tried again" in served.said(), "its end noticed")
            for _ in range(20):
                ask(served.at, NAME)
            first.socket.unlink(missing_ok=True)
            second.start()
            served.wait_until(lambda: "takes what it is sent again" in served.said(), "the next")
            ask(served.at, "other.localhost")
        messages = second.messages()
    finally:
        first.kill()
        second.kill()
    # What was asked while nobody collected is there as well, and what was asked last.
    kinds = Counter(said_of(one.partition("message:")[2], "type")[0] for one in messages)
    assert kinds["CLIENT_QUERY"] == kinds["CLIENT_RESPONSE"] >= 21
    assert "other.localhost." in messages[-1]
    # Who waited for the collector would wait until it is killed.
    assert sorted(took)[len(took) // 2] < 0.25


@contextmanager
def limited(pid: int, size: int) -> Iterator[None]:
    """No file of this process may grow longer."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_costs_lines_only(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "queries.log"
    settings = {"log": {"queries": True}, "querylog": {"file": str(path)}}
    with serve(settings, tmp_path, guard) as served:
        # Its log is in a file, too, which must not be the one that is full.
        with limited(served.pid, 8_000):
            for _ in range(200):
                assert data(ask(served.at, NAME)) == {"127.0.0.1"}
            served.wait_until(lambda: "lines are dropped" in served.said(), "telling it")
        before = path.read_text()
        assert before.endswith("\n")
        assert len(before) <= 8_000
        ask(served.at, "last.localhost")
        served.wait_until(lambda: "goes on" in served.said(), "going on")
        # What waited for room comes first.
        served.wait_until(lambda: "last.localhost." in path.read_text(), "the last line")
        # As log rotation does it.
        path.rename(tmp_path / "queries.log.1")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: "settings reloaded" in served.said(), "reloaded")
        ask(served.at, "new.localhost")
        counted(served, "queries.log", 1)
    lines = (tmp_path / "queries.log.1").read_text().splitlines()
    assert all(re.fullmatch(r"\S+Z \S+ A from 127\.0\.0\.1 over udp: NOERROR.*", x) for x in lines)
    assert "last.localhost." in lines[-1]
    assert path.read_text().count("\n") == 1
    assert served.said().count("lines are dropped") == 1


def test_a_log_that_nobody_reads_keeps_no_client_waiting(guard: Guard, tmp_path: Path) -> None:
    port_said = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")
    settings = tmp_path / "consulfwd.yml"
    settings.write_text(f'{{"listen": ["{HOST}:0"], "resolv_conf": "{tmp_path}/none",'
                        ' "log": {"queries": true}}')  # fmt: skip
    command = [sys.executable, *SERVE, str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            said = b""
            while (found := port_said.search(said)) is None or b"no recursors" not in said:
                said += os.read(process.stderr.fileno(), 65536)
            at = HOST, int(found[1])
            # Twice as much as a pipe holds, which is a small one.
            fcntl.fcntl(process.stderr.fileno(), fcntl.F_SETPIPE_SZ, 4096)
            for _ in range(150):
                assert data(ask(at, NAME)) == {"127.0.0.1"}
            time.sleep(0.3)  # what is noted is written by then, as far as there is room
            # There still is for what the event loop itself has to say.
            process.send_signal(signal.SIGUSR1)
            for _ in range(100):
                assert data(ask(at, NAME)) == {"127.0.0.1"}
        finally:
            process.kill()


def test_a_missing_library_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(f'{{"listen": ["{HOST}:0"], "dnstap": {{"socket": "/run/dnstap.sock"}}}}')
    code = (
        "import sys; sys.modules['google.protobuf'] = None\n"
        "from consulfwd.cli.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "-c", file],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "dnstap.socket needs the library protobuf" in line
    assert "pip install 'consulfwd[dnstap]'" in line
