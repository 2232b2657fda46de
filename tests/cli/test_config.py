"""`consulfwd config check` and `show`, through a group that ends as the real one does."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from consulfwd.cli.config import config
from consulfwd.cli.generate import generate
from consulfwd.cli.options import NAMES, load_from_options, settings_options
from consulfwd.cli.render import render
from consulfwd.config import Loaded, Settings, load
from consulfwd.config.keys import keys_of
from consulfwd.errors import ConfigError, ConsulfwdError


class Group(click.Group):
    """Turns the project's errors into a message and their exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConsulfwdError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file, in an environment that says nothing else."""
    path = tmp_path / "x.yml"
    path.write_text("consul:\n  agents: [10.0.0.1]\n")
    monkeypatch.setenv("CONSULFWD_CONFIG", str(path))
    for name in ("CONSULFWD_LISTEN", "CONSULFWD_CONSUL_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    return path


def run(*words: str) -> Result:
    commands = {"config": config, "generate": generate, "render": render}
    group = Group("consulfwd", commands=commands)
    return CliRunner().invoke(group, ["config", *words])


def test_check_says_which_file_is_right(file: Path) -> None:
    result = run("check", "-c", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{file}: ok\n", "")
    assert run("check").stdout == f"{file}: ok\n"


RENDER = ("render", "--watch", "--max-shrink", "50", "a.tpl:/b")
GENERATE = ("generate", "bind", "--watch", "--quiescence", "2:10", "--from-catalog")


@pytest.mark.parametrize("words", [RENDER, GENERATE])
def test_check_of_a_command_reads_what_that_would_read(
    file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert run("check", *words).stdout == f"{file}: ok\n"
    other = tmp_path / "other.yml"
    other.write_text("nonsense: 1\n")
    result = run("check", *words, "-c", str(other))
    assert result.exit_code == 2
    assert f"{other}:1: nonsense" in result.stderr
    # Where another one is named the usual one may be wrong.
    file.write_text("nonsense: 1\n")
    other.write_text("listen: ['192.0.2.1:53']\n")
    result = run("check", *words, f"--config={other}")
    # What only a server minds is not told.
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{other}: ok\n", "")
    assert run("check", *words, f"--config={other}", "--agent", "no address").exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*RENDER, "--nonsense"), "No such option '--nonsense'"),
        (("generate", "bnd"), "'bnd' is not one of"),
        (("nonsense",), "nonsense: is no command that has settings"),
        (("config", "check"), "config: is no command that has settings"),
        (("--config=x", "zone", "watch"), "options belong behind the command: config check zone"),
    ],
)
@pytest.mark.usefixtures("file")
def test_check_of_what_is_no_command(words: tuple[str, ...], said: str) -> None:
    result = run("check", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_check_warns_of_what_this_host_does_not_have(file: Path) -> None:
    file.write_text(
        """\
listen:
- 127.0.0.1
- 192.0.2.1:53
- "[fe80::1%none0]:53"
consul:
  agents: [10.0.0.1, "[fe80::1%none0]:8600"]
recursors: ["tls://[fe80::2%none0]#dns.example"]
forward:
  corp.example: [fe80::3%lo, fe80::3%none0]
"""
    )
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, f"{file}: ok\n")
    again, until = "it is tried again while others answer", "it counts as down until then"
    gone = "cannot be asked from this host now: its interface is not there"
    assert result.stderr.splitlines() == [
        f"warning: {file}:3: listen[1]: 192.0.2.1:53 cannot be had on this host now: "
        f"no interface of this host has that address ({again})",
        f"warning: {file}:4: listen[2]: [fe80::1%none0]:53 cannot be had on this host now: "
        f"its interface is not there ({again})",
        f"warning: {file}:6: consul.agents[1]: [fe80::1%none0]:8600 {gone} ({until})",
        f"warning: {file}:7: recursors[0]: tls://[fe80::2%none0]#dns.example {gone} ({until})",
        f"warning: {file}:9: forward.corp.example[1]: [fe80::3%none0]:53 {gone} ({until})",
    ]
    file.write_text("listen: [192.0.2.1]\n")
    assert run("check").stderr.endswith(" has that address (it does not start before)\n")
    # What is shown is the file's, whatever the host has.
    assert run("show").stderr == ""


def test_check_says_so_without_a_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import import_module

    monkeypatch.delenv("CONSULFWD_CONFIG")
    monkeypatch.setattr(import_module("consulfwd.config.load"), "DEFAULT_PATH", tmp_path / "none")
    assert run("check").stdout == "no configuration file, defaults: ok\n"


def test_check_tells_warnings_apart(file: Path) -> None:
    file.write_text("access: {allow: [0.0.0.0/0]}")
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, f"{file}: ok\n")
    assert result.stderr == (
        f"warning: {file}:1: access.allow[0]: 0.0.0.0/0 lets the whole Internet ask "
        "(name your own networks unless a firewall does)\n"
    )


@pytest.mark.parametrize("verb", ["check", "show"])
def test_every_problem_is_on_stderr_and_the_exit_code_2(file: Path, verb: str) -> None:
    file.write_text("cache: {sise: 5}\nuser: 5\n")
    result = run(verb, "--config", str(file), "--agent", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    starts = [f"{file}:1: cache.sise: unknown", f"{file}:2: user: must", "--agent: consul.agents"]
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = run("check", "-c", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path / 'none'}: there is no such file (check the path)\n"


OPTIONS = [
    *("--listen", "127.0.0.1:5300", "--listen", "[::1]:5300", "--agent", "10.0.0.9:8601"),
    *("--recursor", "9.9.9.9", "--recursor", "tls://1.1.1.1#a.b"),
    *("--domain", "one", "--domain", "two"),
]


def test_show_prints_a_file_of_the_same_settings(file: Path, tmp_path: Path) -> None:
    result = run("show", *OPTIONS)
    assert (result.exit_code, result.stderr) == (0, "")
    assert 'listen: ["127.0.0.1:5300", "[::1]:5300"]  # --listen\n' in result.stdout
    assert "  alt_domains: [two]  # --domain\n" in result.stdout
    again = tmp_path / "again.yml"
    again.write_text(result.stdout)
    options = {
        "listen": ["127.0.0.1:5300", "[::1]:5300"],
        "agent": ["10.0.0.9:8601"],
        "recursor": ["9.9.9.9", "tls://1.1.1.1#a.b"],
        "domain": ["one", "two"],
    }
    assert load(again, {}, {}).settings == load(file, {}, options).settings


def test_show_json_is_for_programs(file: Path) -> None:
    result = run("show", "--json", "--domain", "one")
    shown = json.loads(result.stdout)
    assert shown["settings"]["consul"]["domain"] == "one"
    assert shown["origins"]["consul.domain"] == "--domain"
    assert shown["origins"]["consul.agents"] == f"{file}:2"


def test_show_warns_on_stderr_only(file: Path) -> None:
    file.write_text("access: {allow: [0.0.0.0/0]}")
    result = run("show", "--json")
    assert json.loads(result.stdout)["settings"]["access"] == {"allow": ["0.0.0.0/0"]}
    assert result.stderr.startswith("warning: ")


def test_any_command_can_have_the_options(file: Path) -> None:
    found: list[Loaded] = []

    @click.command()
    @settings_options
    @click.option("--other")
    def command(**params: object) -> None:
        found.append(load_from_options(params))

    result = CliRunner().invoke(command, ["--other", "x", *OPTIONS], catch_exceptions=False)
    assert result.exit_code == 0
    assert found[0].path == file
    assert found[0].settings.consul.domain == "one"
    assert {one.name for one in command.params} == {"config", *NAMES, "other"}
    help_text = CliRunner().invoke(command, ["--help"]).stdout
    order = [help_text.index(f"--{name}") for name in ("config", *NAMES)]
    assert order == sorted(order)


def test_parameters_without_the_options_are_the_file_and_environment(file: Path) -> None:
    assert load_from_options({}).settings.consul.agents[0].address == "10.0.0.1"
    file.write_text("x")
    with pytest.raises(ConfigError):
        load_from_options({"config": None})


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    shown = run("schema")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["properties"].keys() == keys_of(Settings).keys()
    dest = tmp_path / "consulfwd.schema.json"
    written = run("schema", str(dest))
    assert (written.exit_code, written.stdout, dest.read_text()) == (0, "", shown.stdout)
    refused = run("schema", str(tmp_path / "none" / "x.json"))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"{tmp_path}/none/x.json cannot be written: No such file or directory\n"
    )


def test_the_schema_needs_no_settings(file: Path) -> None:
    file.write_text("nonsense: 1")
    assert run("schema").exit_code == 0
