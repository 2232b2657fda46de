"""The command itself: its help, its version, and how errors leave it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import consulfwd
from consulfwd.cli.main import VERBS, cli
from consulfwd.errors import StartError
from tests.cli.conftest import Run


def test_help_lists_every_verb(run: Run) -> None:
    for words in (["--help"], ["-h"]):
        ended = run(*words)
        assert (ended.code, ended.err) == (0, "")
        for verb, (_, _, line) in VERBS.items():
            assert f"  {verb} " in ended.out
            assert line in ended.out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(run: Run, verb: str) -> None:
    ended = run(verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: consulfwd {verb} ")
    if verb != "config":
        for option in ("--config FILE", "--listen", "--agent", "--recursor", "--domain"):
            assert option in ended.out


def test_the_overview_says_what_a_verb_says_of_itself() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(VERBS)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        assert command.help


def test_as_a_module_it_is_the_same_command(project: Path) -> None:
    for words in (["--help"], ["--version"], ["config", "--help"], ["nope"]):
        said = [
            subprocess.run([sys.executable, *how, *words], capture_output=True, cwd=project)
            for how in (["-m", "consulfwd"], ["-c", "from consulfwd.cli.main import main; main()"])
        ]
        assert (said[0].returncode, said[0].stdout, said[0].stderr) == (
            said[1].returncode,
            said[1].stdout,
            said[1].stderr,
        )
        assert b"__main__" not in said[0].stdout + said[0].stderr
    assert b"Usage: consulfwd " in said[0].stderr


def test_version(run: Run) -> None:
    assert run("--version").out == f"consulfwd, version {consulfwd.__version__}\n"


@pytest.mark.parametrize("words", [[], ["nope"], ["--nope"]])
def test_wrong_use(run: Run, words: list[str]) -> None:
    ended = run(*words)
    assert ended.code == 2
    assert "Usage: consulfwd" in ended.err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (StartError("one\ntwo"), 3, "consulfwd: one\nconsulfwd: two\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_errors_become_words_and_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "invoke", lambda _: fail())
    if isinstance(raised, BrokenPipeError):
        monkeypatch.setattr(sys, "stderr", Closable())
    ended = run("serve")
    assert (ended.code, ended.err.strip("\n")) == (code, said.strip("\n"))


class Closable:
    """An error stream that may be closed."""

    def close(self) -> None:
        """Do nothing: the real one is still needed."""


def test_help_does_not_pay_for_what_it_does_not_use() -> None:
    program = (
        "import sys; from consulfwd.cli.main import main\n"
        "sys.argv = ['consulfwd', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({'asyncio', 'pydantic', 'yaml', 'dns', 'aiohttp', 'rich'} & {*sys.modules}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.stdout.splitlines()[-1], ended.stderr) == ("", "")
