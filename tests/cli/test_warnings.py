"""Which commands do without what they do not need, and say so: tokens, variables of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, Run

UNNEEDED = "(not needed for this; whoever runs the server must be able to)"


@pytest.fixture
def words(tmp_path: Path) -> dict[str, list[str]]:
    """What each command is called with."""
    named, template = tmp_path / "named.conf", tmp_path / "x.j2"
    named.write_text('zone "consul" { type forward; forwarders { 127.0.0.1 port 8600; }; };\n')
    template.write_text("x\n")
    return {
        "resolve": ["resolve", "--short", "localhost"],
        "lint": ["lint", "--offline", "--type", "bind", "--server-version", "9.18", str(named)],
        "show": ["config", "show"],
        "generate": ["generate", "dnsmasq", "--server-version", "2.90"],
        "catalog": ["generate", "dnsmasq", "--server-version", "2.90", "--from-catalog"],
        "generate watch": ["generate", "dnsmasq", "--server-version", "2.90", "--watch"],
        "render": ["render", "--dry-run", f"{template}:{tmp_path / 'x'}"],
        "check": ["config", "check"],
        "serve": ["serve"],
    }


@pytest.fixture
def token(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A token that may not be read, which the settings name."""
    token = tmp_path / "token"
    token.write_text("secret")
    agent = f"consul: {{agents: [{{address: 127.0.0.1, token_file: {token}}}]}}\n"
    file = tmp_path / "nothing.yml"
    file.write_text(agent + file.read_text())
    # Root may read everything: the refusal is played.
    monkeypatch.setattr(os, "access", lambda path, mode: path != token)
    return token


def told(ended: Ended) -> list[str]:
    return [line for line in ended.err.splitlines() if line.startswith("warning:")]


@pytest.mark.parametrize("command", ["resolve", "lint", "show", "generate"])
def test_who_does_not_ask_over_http_does_without_the_token(
    run: Run, words: dict[str, list[str]], token: Path, command: str
) -> None:
    ended = run(*words[command])
    assert ended.code in (0, 1)
    assert "consulfwd:" not in ended.err
    assert ended.out
    file = token.with_name("nothing.yml")
    what = f"{file}:1: consul.agents[0].token_file: {token} may not be read"
    assert told(ended) == [f"warning: {what} {UNNEEDED}"]


@pytest.mark.parametrize("command", ["catalog", "generate watch", "render", "check", "serve"])
def test_who_does_refuses(
    run: Run, words: dict[str, list[str]], token: Path, command: str
) -> None:
    ended = run(*words[command])
    assert (ended.code, ended.out) == (2, "")
    assert f"consul.agents[0].token_file: {token} may not be read (check the path" in ended.err
    assert told(ended) == []


@pytest.mark.parametrize(
    ("command", "told_at_all"), [("resolve", False), ("lint", False), ("check", True)]
)
def test_who_only_asks_is_not_told_what_concerns_the_server(
    run: Run, words: dict[str, list[str]], tmp_path: Path, command: str, told_at_all: bool
) -> None:
    file = tmp_path / "nothing.yml"
    file.write_text("access: {allow: ['0.0.0.0/0', '::/0']}\n" + file.read_text())
    ended = run(*words[command])
    assert ended.code in (0, 1)
    assert len(told(ended)) == (2 if told_at_all else 0)


@pytest.mark.parametrize("command", ["resolve", "lint", "show", "generate", "check"])
def test_variables_that_are_no_settings_stop_no_command(
    run: Run, words: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("CONSULFWD_PORT", "tcp://10.3.0.9:53")
    monkeypatch.setenv("CONSULFWD_CACHE_SIZ", "5")
    ended = run(*words[command])
    assert ended.code in (0, 1)
    assert sorted(line.partition(" (")[0] for line in told(ended)) == [
        "warning: environment CONSULFWD_CACHE_SIZ: no setting has this variable",
        "warning: environment CONSULFWD_PORT: no setting: what Kubernetes tells of a service of "
        "that name",
    ]
