"""The command itself: its help, its version, and how errors leave it."""

from __future__ import annotations

import os
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
    if verb in ("status", "explain", "drain", "undrain"):
        # Settings are none of theirs: they ask whoever runs.
        assert "--socket PATH" in ended.out
        assert "--config" not in ended.out
    # Those are groups: their commands have options.
    elif verb not in ("cache", "check", "config", "failover", "querylog", "zone"):
        for option in ("--config FILE", "--listen", "--agent", "--recursor", "--domain"):
            assert option in ended.out


def test_the_overview_says_what_a_verb_says_of_itself() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(VERBS)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        assert command.help


def test_the_check_before_a_reload_takes_the_options_of_serve() -> None:
    # The unit gives it the same ones, and host-dns gives them to `config show`.
    context = click.Context(cli)
    found: dict[str, set[str]] = {}
    serve, config = (cli.get_command(context, verb) for verb in ("serve", "config"))
    assert isinstance(config, click.Group)
    for name, command in (("serve", serve), *config.commands.items()):
        assert command is not None
        found[name] = {option for one in command.params for option in one.opts}
    of_its_own = {"--dev", "--definitions"}
    for name in ("check", "show"):
        assert found["serve"] - of_its_own <= found[name]


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
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_become_words_and_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(click.Group, "invoke", fail)
    ended = run("serve")
    assert (ended.code, ended.err.strip("\n")) == (code, said.strip("\n"))


def in_journal(folder: Path, cwd: Path, *words: str) -> tuple[int, list[str]]:
    """How Python with these words ends whose stderr is the journal, and the lines there."""
    file = folder / "journal"
    with file.open("w") as journal:
        status = os.fstat(journal.fileno())
        ended = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            stderr=journal, cwd=cwd,
        )  # fmt: skip
    return ended.returncode, file.read_text().splitlines()


def test_the_journal_is_told_what_is_an_error(project: Path, tmp_path: Path) -> None:
    for words, said in (
        (["serve", "-c", "/nonexistent/x.yml"], ["<3>consulfwd: /nonexistent/x.yml"]),
        (["nope"], ["<3>Usage: consulfwd", "<3>Try '", "<3>", "<3>Error: "]),
        (["config", "check", "--listen", "192.0.2.1:53"], ["<4>warning: "]),
    ):
        code, lines = in_journal(tmp_path, project, "-m", "consulfwd", *words)
        assert code == (0 if "check" in words else 2)
        assert [one[: len(begins)] for one, begins in zip(lines, said, strict=True)] == said


def test_an_error_of_our_own_is_one_in_the_journal(project: Path, tmp_path: Path) -> None:
    program = "import click; from consulfwd.cli.main import main\n"
    program += "click.Group.invoke = lambda *_: 1 / 0\nmain()\n"
    code, lines = in_journal(tmp_path, project, "-c", program, "serve")
    assert (code, lines[0]) == (1, "<3>Traceback (most recent call last):")
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"
    assert all(line.startswith("<3>") for line in lines)
    # Elsewhere it is Python's.
    command = [sys.executable, "-c", program, "serve"]
    ended = subprocess.run(command, capture_output=True, cwd=project)
    assert (ended.returncode, ended.stderr[:9]) == (1, b"Traceback")


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
