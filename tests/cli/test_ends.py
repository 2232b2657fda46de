"""How commands end that nobody wants any more: Ctrl-C, SIGTERM, a pipe that was closed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.background import Background
from tests.loopback import OWN, free_port

PROGRAM = [sys.executable, "-m", "consulfwd.cli.main"]
NAME = "galeradb.service.consul"
# Runs the command with each of these words and variables, in a process of its own that ends as it
# would, and tells the exit codes: what all of them import is imported once. NUL ends an output.
EACH = """
import contextlib, json, os, sys
from consulfwd.cli import main, %s
done, codes = json.loads(sys.argv[1]), []
for words, environ in done:
    if not (child := os.fork()):
        os.environ.update(environ)
        sys.argv[1:] = words
        main.main()
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with contextlib.suppress(BrokenPipeError):
        os.write(1, bytes(1))
os.write(int(os.environ["CODES"]), json.dumps(codes).encode())
"""
Command = tuple[list[str], dict[str, str]]


def each(verb: str, commands: list[Command], **how: Any) -> list[int]:
    """The exit codes of commands, where stdout and stderr are as `subprocess.run` is told."""
    reading, writing = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-c", EACH % verb, json.dumps(commands)],
            env={**os.environ, "CODES": str(writing)},
            pass_fds=[writing],
            check=True,
            timeout=60,
            **how,
        )
        return [int(code) for code in json.loads(os.read(reading, 4096))]
    finally:
        os.close(reading)
        os.close(writing)


class Silent:
    """An agent that takes what it is asked, over DNS and HTTP, and says nothing."""

    def __init__(self) -> None:
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((OWN, 0))
        self._tcp = socket.create_server((OWN, 0))
        self.dns_port = int(self._udp.getsockname()[1])
        self.http_port = int(self._tcp.getsockname()[1])

    def asked(self) -> bool:
        return bool(select.select([self._udp, self._tcp], [], [], 0)[0])

    def close(self) -> None:
        self._udp.close()
        self._tcp.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path, silent: Silent) -> Path:
    """Settings with the silent agent, and patience for it."""
    file = tmp_path / "consulfwd.yml"
    agent = f"{{address: {OWN}, dns_port: {silent.dns_port}, http_port: {silent.http_port}}}"
    file.write_text(
        f"consul: {{agents: [{agent}]}}\nresolv_conf: /nonexistent\nquery: {{deadline: 10}}\n"
    )
    return file


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: Path) -> None:
    monkeypatch.setenv("CONSULFWD_CONFIG", str(settings))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


@contextlib.contextmanager
def running(folder: Path, words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=errors, cwd=folder
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)


def told(folder: Path) -> list[str]:
    return (folder / "stderr").read_text().splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ["resolve", NAME],
        ["resolve", "--compare", NAME],
        ["render", "x.tpl:x.conf"],
        ["generate", "nftables", "--from-catalog"],
        ["lint", "--type", "dnsmasq", "consul.conf"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_ctrl_c_ends_whoever_waits(tmp_path: Path, silent: Silent, words: list[str]) -> None:
    (tmp_path / "x.tpl").write_text("{{ services() }}")
    (tmp_path / "consul.conf").write_text(f"server=/consul/{OWN}#{silent.dns_port}\n")
    with running(tmp_path, words) as process:
        until(silent.asked, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    # The line that ^C was shown on ends; nothing else is said.
    assert "".join(told(tmp_path)) == ""


WATCHING = [
    ["serve", "--listen", "127.0.0.1:{port}"],
    ["serve", "--dev", "--listen", "127.0.0.1:{port}"],
    ["render", "--watch", "x.tpl:x.conf"],
    ["generate", "nftables", "--watch", "--dest", "x.nft", "--no-check", "--no-reload"],
]


@pytest.mark.parametrize("words", WATCHING, ids=lambda words: " ".join(words[:2]))
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_who_goes_on_until_told_tells_ctrl_c_from_sigterm(
    tmp_path: Path, words: list[str], number: signal.Signals, code: int
) -> None:
    (tmp_path / "x.tpl").write_text("one\n")
    words = [word.format(port=free_port()) for word in words]
    begun = "listening on" if words[0] == "serve" else "wrote "
    with running(tmp_path, words) as process:
        until(lambda: any(begun in line for line in told(tmp_path)), process)
        process.send_signal(number)
        assert process.wait(10) == code
    assert told(tmp_path)[-1].endswith(" INFO stopped")


def test_ctrl_c_on_a_terminal(tmp_path: Path) -> None:
    own, terminal = pty.openpty()
    command = [*PROGRAM, "serve", "--listen", f"{OWN}:{free_port()}"]
    # As a shell in the foreground does: what is typed there becomes the signal.
    begin = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    begin += "; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", begin, *command[1:]],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    with process:
        try:
            said = b""
            while b"listening on" not in said:
                assert select.select([own], [], [], 20)[0]
                said += os.read(own, 4096)
            os.write(own, b"\x03")
            assert process.wait(10) == 130
        finally:
            process.kill()
            os.close(own)


def ends_at_a_closed_pipe(
    verb: str, *commands: list[str], errors: bool = False
) -> tuple[list[int], bytes]:
    """How commands end that write to a pipe nobody reads (stderr too), and what they say."""
    reading, writing = os.pipe()
    os.close(reading)
    with tempfile.TemporaryFile() as said:
        try:
            codes = each(
                verb,
                [(words, {}) for words in commands],
                stdout=writing,
                stderr=writing if errors else said,
            )
        finally:
            os.close(writing)
        said.seek(0)
        return codes, said.read()


def test_a_closed_pipe_is_no_error_of_the_command() -> None:
    words = [["config", "show"], ["config", "check"], ["--help"], ["--version"]]
    words.append(["resolve", "--help"])
    assert ends_at_a_closed_pipe("config", *words) == ([141] * 5, b"")


def test_a_closed_pipe_is_not_a_name_that_is_not_there() -> None:
    with Background() as agents:
        ways = [[], ["--short"], ["--json"], ["--trace"]]
        asked = [
            ["resolve", "--agent", agents.names[0], *words, name]
            for name in (NAME, "nothing.service.consul")
            for words in ways
        ]
        codes, said = ends_at_a_closed_pipe("resolve", *asked)
        # With nothing to write, there is nobody to miss.
        assert (codes, said) == ([141, 141, 141, 141, 141, 1, 141, 141], b"")


def test_a_closed_pipe_for_what_is_wrong() -> None:
    words = [["nonsense"], ["config", "check", "-c", "/nonexistent"]]
    assert ends_at_a_closed_pipe("config", *words, errors=True) == ([141, 141], b"")


@pytest.mark.parametrize(
    "words",
    [["config", "show"], ["config", "schema"], ["--help"], ["resolve", "--short", "localhost"]],
    ids=" ".join,
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_is_told_in_words(words: list[str], buffered: bool) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, timeout=20,
            env=os.environ | ({} if buffered else {"PYTHONUNBUFFERED": "1"}),
        )  # fmt: skip
    said = b"consulfwd: the output could not be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (74, said)


def test_in_a_shell_as_other_tools() -> None:
    said = subprocess.run(
        ["bash", "-c", '"$@" config show | true; echo ${PIPESTATUS[0]}', "sh", *PROGRAM],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert (said.stdout, said.stderr) == ("141\n", "")


def test_a_server_goes_on_when_nobody_reads_its_log(tmp_path: Path) -> None:
    file, ports = tmp_path / "listen.yml", (free_port(), free_port())
    file.write_text(f"listen: ['{OWN}:{ports[0]}']\nresolv_conf: /nonexistent\n")
    command = [*PROGRAM, "serve", "-c", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            while b"listening on" not in process.stderr.readline():
                assert process.poll() is None
            process.stderr.close()
            file.write_text(file.read_text().replace(str(ports[0]), str(ports[1])))
            process.send_signal(signal.SIGHUP)
            until(lambda: answers(ports[1]), process)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((OWN, port)) == 0


COLOURED: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"NO_COLOR": ""}, True),
    ({"NO_COLOR": "1"}, False),
    ({"NO_COLOR": "0"}, False),
    ({"TERM": "dumb"}, False),
]


@pytest.mark.parametrize("verb", ["resolve", "compare", "lint"])
def test_colour_on_a_terminal_unless_it_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    (tmp_path / "consul.conf").write_text("server=/consul/127.0.0.1#8600\n")
    (tmp_path / "dead.yml").write_text("resolv_conf: /nonexistent\nquery: {deadline: 0.1}\n")
    dead = ["-c", "dead.yml", "--agent", f"{OWN}:{free_port()}"]
    words = {
        "resolve": ["resolve", "--trace", *dead, NAME],
        "compare": ["resolve", "--compare", *dead, NAME],
        "lint": ["lint", "--offline", "--type", "dnsmasq", "consul.conf"],
    }[verb]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    own, terminal = pty.openpty()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(all_of, own)
        commands = [(words, environ) for environ, _ in COLOURED]
        each(words[0], commands, stdout=terminal, stderr=terminal, cwd=tmp_path)
        os.close(terminal)
        *said, rest = reading.result(10).split(b"\0")
    os.close(own)
    assert rest == b""
    assert all(said)
    found = [b"\x1b[" in one for one in said]
    assert found == [coloured for _, coloured in COLOURED]


def all_of(terminal: int) -> bytes:
    """What is said on a terminal until nobody has it open any more."""
    said = b""
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 4096):
            said += more
    return said
