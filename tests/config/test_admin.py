"""The section `admin`: who may look at a running process, and what is said of what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.config import Endpoint, Settings, load
from consulfwd.config.sections import AdminSettings
from consulfwd.errors import ConfigError


def loaded(folder: Path, text: str, **environ: str) -> tuple[Settings, list[str]]:
    path = folder / "consulfwd.yml"
    path.write_text(text)
    found = load(path, environ, {})
    return found.settings, [str(one).partition(": ")[2] for one in found.warnings]


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        loaded(folder, text)
    return [str(one).partition(": ")[2] for one in told.value.problems]


def test_nothing_said(tmp_path: Path) -> None:
    settings, warnings = loaded(tmp_path, "")
    assert settings.admin == AdminSettings()
    assert (settings.admin.socket, settings.admin.mode, settings.admin.listen) == (
        "auto", "0660", None,
    )  # fmt: skip
    assert warnings == []


@pytest.mark.parametrize(
    ("said", "socket"),
    [
        ("auto", "auto"), ("false", False), ("off", False), ('"off"', False),
        ("/run/x.sock", Path("/run/x.sock")),
    ],
)  # fmt: skip
def test_where_the_socket_is(tmp_path: Path, said: str, socket: object) -> None:
    assert loaded(tmp_path, f"admin: {{socket: {said}}}")[0].admin.socket == socket


def test_the_environment_says_it_too(tmp_path: Path) -> None:
    settings, _ = loaded(tmp_path, "", CONSULFWD_ADMIN_SOCKET="off", CONSULFWD_ADMIN_MODE="0600")
    assert (settings.admin.socket, settings.admin.mode) == (False, "0600")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("socket: run.sock", "not an absolute path"),
        ("socket: [x]", "must be a path, not a list"),
        ("socket: true", "must be a path, not true"),
        ("mode: 660", "must be text, not the number"),
        ('mode: "0777"', "is not the mode of a socket"),
        ('mode: "rw"', "is not the mode of a socket"),
        ('mode: "0060"', "keeps its owner out"),
        ('group: "a b"', "is not the name of a group"),
        ("listen: 0.0.0.0:5380", "not a loopback address"),
        ('listen: "[::]:5380"', "not a loopback address"),
        ("listen: 192.0.2.1", "not a loopback address"),
        ("listen: 127.0.0.1:53", "DNS is served at 127.0.0.1:53 already"),
        ("token_file: /etc/x", "a token is of no use without listen"),
        (f"socket: /{'x' * 107}", "longer than a socket's path may be"),
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, said: str, told: str) -> None:
    (problem,) = wrong(tmp_path, f"admin:\n  {said}")
    assert problem.startswith(f"admin.{said.partition(':')[0]}: ")
    assert told in problem
    assert problem.endswith(")")


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("127.0.0.1", ("127.0.0.1", 5380)), ("127.0.0.9:0", ("127.0.0.9", 0)),
        ('"[::1]:81"', ("::1", 81)), ("localhost:99", ("127.0.0.1", 99)),
    ],
)  # fmt: skip
def test_loopback_it_may_listen_on(tmp_path: Path, said: str, at: tuple[str, int]) -> None:
    settings, warnings = loaded(tmp_path, f"admin: {{listen: {said}}}")
    assert settings.admin.listen == Endpoint(host=at[0], port=at[1])
    assert warnings == []


def test_what_is_hardly_meant(tmp_path: Path) -> None:
    said = "admin: {mode: '0666', listen: 127.0.0.1:5380, token_file: /nowhere/token}"
    settings, warnings = loaded(tmp_path, said)
    assert settings.admin.token_file == Path("/nowhere/token")
    assert any("lets every user of this host" in one for one in warnings)
    assert any("/nowhere/token cannot be read" in one for one in warnings)
    assert len(warnings) == 2
