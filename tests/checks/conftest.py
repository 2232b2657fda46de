"""Plug-ins as a monitoring system runs them, but in this process: fast, and to be looked into."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consulfwd.cli import check, check_options
from consulfwd.cli.main import main
from tests.checks.said import Said

Plugin = Callable[..., Said]


class _Left(BaseException):
    """A plug-in has ended the process."""

    def __init__(self, text: str, code: int) -> None:
        self.text = text
        self.code = code
        super().__init__(text)




@pytest.fixture
def plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Plugin:
    """Run `consulfwd check` with these words, on a host without a configuration."""
    file = tmp_path / "nothing.yml"
    file.write_text("resolv_conf: /nonexistent/resolv.conf\n")
    for name in [one for one in os.environ if one.startswith(("CONSUL", "XDG_", "RUNTIME_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONSULFWD_CONFIG", str(file))

    def leave(text: str, code: int) -> None:
        raise _Left(text, code)

    monkeypatch.setattr(check, "_leave", leave)
    monkeypatch.setattr(check, "_say_nothing_else", lambda: None)
    # This process is older than a plug-in ever is, and goes on.
    monkeypatch.setattr(check_options, "age", lambda: 0.0)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["consulfwd", "check", *words])
        try:
            main()
        except _Left as left:
            out, err = capsys.readouterr()
            assert err == ""
            return Said(int(left.code), out + left.text)
        raise AssertionError("a plug-in that ends without a state")

    return run
