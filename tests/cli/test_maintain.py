"""The words of `consulfwd maintain`: what is refused before anybody is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from consulfwd.cli.main import cli
from consulfwd.cli.maintain import _Duration, maintain
from consulfwd.errors import UsageError

RUN = ("--", "true")


def refused(*words: str) -> str:
    result = CliRunner().invoke(cli, ["maintain", *words])
    assert result.exit_code != 0
    return str(result.exception if isinstance(result.exception, UsageError) else result.output)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("web",), "what is to be run?"),
        (RUN, "of which service or node?"),
        (("web", "true"), "unexpected extra argument"),
        (("web", "--rolling", "--node", "n1", *RUN), "--rolling is all instances"),
        (("web", "--back", *RUN), "--back runs nothing"),
        (("web", "--try", "--timeout", "5", *RUN), "one of them"),
        (("web", "--for", "10x", *RUN), "no time from 1s to 7d"),
        (("web", "--for", "0s", *RUN), "no time from 1s to 7d"),
        (("web", "--for", "8d", *RUN), "no time from 1s to 7d"),
        (("web", "--keep", "-1", *RUN), "x>=0"),
        (("web", "--reason", "a\nb", *RUN), "--reason: a line"),
        (("web", "--prefix", "/", *RUN), "--prefix"),
        (("web", "--ask", "nowhere", *RUN), "--ask"),
        (("web", "--ask", "tls://127.0.0.1#dns.example", *RUN), "without TLS"),
        (("web", "--", "not-installed-anywhere"), "it is not installed"),
    ],
)
def test_words_that_do_not_go_together(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    assert said in refused("--state", str(tmp_path), *words)
    assert list(tmp_path.iterdir()) == []


def test_times_as_people_write_them() -> None:
    convert = _Duration().convert
    assert [convert(one, None, None) for one in ("90", "90s", "10m", "1h30m", "1.5h", "7d")] == [
        90.0, 90.0, 600.0, 5400.0, 5400.0, 604_800.0,
    ]  # fmt: skip


def test_what_follows_the_dashes_is_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(maintain, "callback", lambda **_: seen.append(dict(_meta())))

    def _meta() -> dict[str, Any]:
        return click.get_current_context().meta

    words = ["web", "--rolling", "--for", "5m", "--", "sh", "-c", "x", "--", "--keep"]
    result = CliRunner().invoke(cli, ["maintain", *words])
    assert result.exit_code == 0, result.output
    assert ("sh", "-c", "x", "--", "--keep") in seen[0].values()


def test_nothing_is_left_to_put_back(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["maintain", "--back", "--state", str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "")


def test_every_event_is_named(project: Path) -> None:
    text = (project / "docs" / "maintenance.md").read_text()
    listed = text.partition("events are")[2].partition(".")[0]
    sources = [*(project / "consulfwd" / "maintain").glob("*.py")]
    sources.append(project / "consulfwd" / "cli" / "maintain.py")
    told = {
        name
        for one in sources
        for name in re.findall(r'(?:Event|_tell)\(\s*"([a-z ]+)"', one.read_text())
    }
    assert set(re.findall(r"`([a-z ]+)`", listed)) == told


def test_every_option_is_explained(project: Path) -> None:
    text = (project / "docs" / "maintenance.md").read_text()
    context = click.Context(maintain)
    options = {
        one for each in maintain.get_params(context) for one in each.opts if one.startswith("--")
    }
    shared = {"--help", "--config", "--listen", "--agent", "--recursor", "--domain"}
    assert {one for one in options if f"`{one}`" not in text} - shared == set()
    codes = (maintain.help or "").partition("Exit codes:")[2]
    for code in ("0", "1", "2", "3", "75", "124", "130", "143"):
        assert code in codes
        assert f"| {code}" in text or f", {code} |" in text
