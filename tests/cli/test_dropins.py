"""Who reads settings again reads all files, and who looks for changes looks at all of them."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_serve import PROGRAM, logged, served, wait_for


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """The main file, with a file beside it."""
    file = tmp_path / "consulfwd.yml"
    file.write_text("consul: {agents: [10.0.0.1]}\nrecursors: [127.0.0.9]\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.yml").write_text("cache: {size: 5}\n")
    return file


def test_check_and_show_list_them(run: Run, main: Path) -> None:
    last = main.parent / "conf.d" / "10.yml"
    checked = run("config", "check", "-c", str(main))
    assert (checked.code, checked.out) == (0, f"{main}: ok\n{last}: ok\n")
    shown = run("config", "show", "-c", str(main)).out
    assert shown.startswith(f"# {main}\n# {last}\nlisten:")
    assert f"  size: 5  # {last}:1\n" in shown


def test_a_server_reads_all_of_them_again(tmp_path: Path, main: Path) -> None:
    added = main.parent / "conf.d" / "20.yml"
    with served(tmp_path, "-c", main.name) as (process, _):
        added.write_text("log: {format: json}\n")
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path, "settings reloaded")
        added.write_text("log: {format: xml}\n")
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path, "not reloaded")
        assert f"{added}:1: log.format: 'xml' is not one of" in logged(tmp_path)
    assert '"message": "stopped"' in logged(tmp_path)


def test_generate_follows_all_of_them(tmp_path: Path, main: Path) -> None:
    dest = tmp_path / "dnsmasq.conf"
    command = [*PROGRAM, "generate", "dnsmasq", "--server-version", "2.90", "-c", str(main)]
    command += ["--watch", "--dest", str(dest), "--no-check", "--no-reload", "--verify", "none"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--quiescence", "0.1:0.5"], stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        until(dest, "10.0.0.1")
        added = main.parent / "conf.d" / "20.yml"
        added.write_text("consul: {agents: [10.0.0.2]}\n")
        until(dest, "10.0.0.2")
        added.write_text("consul: {agents: [10.0.0.33]}\n")
        until(dest, "10.0.0.33")
        added.unlink()
        until(dest, "10.0.0.1")
    finally:
        process.terminate()
        process.wait(10)
    assert "Traceback" not in (tmp_path / "log").read_text()


def until(file: Path, address: str) -> None:
    """Wait until a file names an address and its port."""
    ends = time.monotonic() + 20
    while not file.exists() or f"{address}#" not in file.read_text():
        assert time.monotonic() < ends, (file.parent / "log").read_text()
        time.sleep(0.05)
