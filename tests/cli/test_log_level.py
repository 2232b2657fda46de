"""`--log-level`: what is logged, over what the settings say, by every verb that logs."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest

from consulfwd.config import load
from tests.cli.conftest import Run
from tests.cli.test_serve import logged, served, wait_for


def test_it_wins_over_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("log: {level: error, format: json}\n")
    environ = {"CONSULFWD_LOG_LEVEL": "warning"}
    loaded = load(file, environ, {"log_level": "debug"})
    assert (loaded.settings.log.level, loaded.origins["log.level"]) == ("debug", "--log-level")
    assert loaded.origins["log.format"] == f"{file}:1"
    for nothing in (None, ""):
        loaded = load(file, environ, {"log_level": nothing})
        assert loaded.settings.log.level == "warning"


@pytest.mark.parametrize(
    "words",
    [
        ["serve"],
        ["render", "--dry-run", "TEMPLATE:/nonexistent"],
        ["generate", "dnsmasq", "--server-version", "2.90"],
    ],
    ids=lambda words: words[0],
)
def test_every_verb_that_logs_takes_it(run: Run, tmp_path: Path, words: list[str]) -> None:
    template = tmp_path / "x.j2"
    template.write_text("x\n")
    words = [word.replace("TEMPLATE", str(template)) for word in words]
    ended = run(*words, "--log-level", "inform")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "consulfwd: --log-level: log.level: 'inform' is not one of debug, info, warning, error "
        "(did you mean info?)\n"
    )


def test_a_command_that_ends_logs_where_it_is_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSULFWD_XYZ", "1")
    command = ["generate", "dnsmasq", "--server-version", "2.90"]
    assert run(*command).err.startswith("warning: environment CONSULFWD_XYZ: ")
    assert " WARNING environment CONSULFWD_XYZ: " in run(*command, "--log-level", "debug").err
    assert logging.getLogger().level == logging.DEBUG
    assert run(*command, "--log-level", "error").err == ""


def test_a_server_keeps_it_when_it_reads_its_settings_again(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("log: {level: error}\nrecursors: [127.0.0.9]\n")
    # That it listens is told with level info.
    with served(tmp_path, "-c", str(file), "--log-level", "info") as (process, _):
        file.write_text("log: {level: error, format: json}\nrecursors: [127.0.0.9]\n")
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path, "settings reloaded")
    assert '"message": "stopped"' in logged(tmp_path)
