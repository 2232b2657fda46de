"""`consulfwd generate`: printed, compared, written or refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consulfwd.apply import running
from consulfwd.cli.generate import generate
from consulfwd.errors import ApplyError, ConsulfwdError, TemplateError, UsageError
from consulfwd.servers.targets import TARGETS
from tests.cli.background import Background

SETTINGS = """
consul:
  agents: [10.0.0.11, 10.0.0.12]
  reverse: [10.0.0.0/8]
recursors: [10.0.0.53]
"""
# The others can name no port.
SERVERS = [one for one in TARGETS if one not in ("resolv.conf", "resolver")]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "consulfwd.yml"
    path.write_text(SETTINGS)
    monkeypatch.setenv("CONSULFWD_CONFIG", str(path))
    return path


@pytest.fixture
def checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BIND's is installed, and finds what is nonsense; the real one sees what is really written."""
    program = tmp_path / "bin" / "named-checkconf"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ $# -eq 0 ] || ! grep nonsense "$1" >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def run(*words: str) -> Result:
    """What it prints; an error of ours is raised."""
    result = CliRunner().invoke(generate, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.usefixtures("file")
def test_what_is_printed_is_the_file() -> None:
    text = run("bind", "--server-version", "9.18").stdout
    assert 'zone "consul"' in text
    assert 'zone "10.in-addr.arpa"' in text
    assert "10.0.0.12 port 8600;" in text
    both = run("bind", "--named-conf", "--server-version", "9.18", "--json")
    files = json.loads(both.stdout)["files"]
    assert [Path(one["path"]).name for one in files] == ["consul.conf", "named.conf"]
    assert files[0]["text"] == text
    assert f'include "{files[0]["path"]}";' in files[1]["text"]


@pytest.mark.usefixtures("file", "checker")
def test_differences_are_shown_and_counted(tmp_path: Path) -> None:
    dest = tmp_path / "consul.conf"
    bind = ("bind", "--server-version", "9.18", "--dest", str(dest))
    assert run(*bind, "--check").exit_code == 1
    assert run(*bind, "--write", "--no-reload").stdout == f"{dest} written\n"
    assert run(*bind, "--check").exit_code == 0
    assert run(*bind, "--write", "--no-reload").stdout == "nothing to do: all is as it should be\n"
    changed = (*bind, "--agent", "10.0.0.13")
    assert run(*changed, "--check", "--json").stdout == json.dumps({"differ": [str(dest)]}) + "\n"
    lines = run(*changed, "--diff").stdout.splitlines()
    assert "-        10.0.0.11 port 8600;" in lines
    assert "+        10.0.0.13 port 8600;" in lines
    old = dest.read_text()
    said = json.loads(run(*changed, "--write", "--no-reload", "--json").stdout)
    done = {"written": [str(dest)], "backups": [f"{dest}.bak"]}
    assert said == {**done, "reloaded": False, "failed": []}
    assert Path(f"{dest}.bak").read_text() == old


@pytest.mark.usefixtures("file", "checker")
def test_what_the_servers_checker_refuses_is_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "templates" / "bind"
    folder.mkdir(parents=True)
    (folder / "consul.conf.j2").write_text("zone {{ site.domain }} nonsense\n")
    dest = tmp_path / "consul.conf"
    dest.write_text("// as it was\n")
    words = ("bind", "--templates", str(folder.parent), "--dest", str(dest), "--no-reload")
    with pytest.raises(ConsulfwdError, match=r"named-checkconf .*exit code 1"):
        run(*words, "--write")
    assert dest.read_text() == "// as it was\n"
    (folder / "consul.conf.j2").write_text("\n{{ site.domian }}\n")
    with pytest.raises(TemplateError, match=r"consul\.conf\.j2:2: .*domian"):
        run(*words, "--write")


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bind", "--diff", "--write"), "--diff and --write: choose one"),
        (("bind", "--service", "dns"), "--service is for --from-catalog"),
        (("bind", "--server-version", "nine"), "'nine' is no version"),
        (("bind", "--server-version", "99"), "BIND 99 to write for .known are 9.11 to 9.20"),
        (("bind", "--server-version", "8.4"), "there is no BIND 8.4"),
        (("bind", "--watch", "--json"), "--watch writes a log"),
        (("bind", "--reload", "true", "--no-reload"), "--reload and --no-reload"),
        (("bind", "--dest", 'a".conf'), "no path with quotes"),
        (("dnsmasq", "--named-conf"), "dnsmasq has no named_conf"),
        (("bind", "--verify", "a b"), "--verify"),
        (("unbound", "--listen", "127.0.0.1:0", "--to", "consulfwd"), "port 0"),
    ],
)
def test_wrong_use(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        run(*words)
    assert caught.value.exit_code == 2


def test_an_unknown_server() -> None:
    result = run("bund")
    assert result.exit_code == 2
    assert "'bind'" in result.stderr


def test_the_help_names_every_server() -> None:
    said = run("--help").stdout
    assert [name for name in TARGETS if name not in said] == []


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("server", SERVERS)
def test_every_server_has_its_text(server: str) -> None:
    words = ("--agent", "127.0.0.1") if server == "nftables" else ()
    version = ".".join(map(str, TARGETS[server].newest))
    assert "8600" in run(server, "--server-version", version, *words).stdout


@pytest.mark.usefixtures("file")
def test_a_server_that_is_not_here_is_written_for_as_the_newest() -> None:
    result = run("resolver")
    assert "is not installed here: written for" in result.stderr


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("mode", ["--write", "--watch"])
@pytest.mark.parametrize("dest", [(), ("--dest", "/etc/resolv.conf"), ("--dest", "/etc/./{}")])
def test_how_this_host_resolves_names_is_left_to_who_can_take_it_back(
    mode: str, dest: tuple[str, ...]
) -> None:
    own = Path("/etc/resolv.conf")
    before = own.read_bytes() if own.exists() else None
    with pytest.raises(ApplyError) as caught:
        run("resolv.conf", "--listen", "127.0.0.1:53", mode, *(
            word.replace("{}", "resolv.conf") for word in dest
        ))  # fmt: skip
    assert "is left to host-dns" in caught.value.what
    assert "packaging/host-dns resolv.conf, and with --undo" in caught.value.mend
    assert (own.read_bytes() if own.exists() else None) == before


@pytest.mark.usefixtures("file")
def test_the_resolv_conf_of_another_system_is_written(tmp_path: Path) -> None:
    # Of an image, say. Nobody can be asked there.
    dest = tmp_path / "resolv.conf"
    words = ("resolv.conf", "--listen", "127.0.0.1:53", "--dest", str(dest), "--verify", "none")
    assert run(*words, "--write").stdout == f"{dest} written\n"
    assert "nameserver 127.0.0.1" in dest.read_text()


@pytest.mark.usefixtures("file", "checker")
def test_a_server_that_has_yet_to_start_finds_its_file(tmp_path: Path) -> None:
    # rndc says so of itself; nobody is asked whether it resolves.
    rndc = tmp_path / "bin" / "rndc"
    refused = "rndc: connect failed: 127.0.0.1#953: connection refused"
    rndc.write_text(f"#!/bin/sh\necho '{refused}'\nexit 1\n")
    rndc.chmod(0o755)
    dest = tmp_path / "consul.conf"
    said = run("bind", "--server-version", "9.18", "--dest", str(dest), "--write").stdout
    assert said.startswith(f"{dest} written, in force once its server starts (`rndc reconfig`, ")
    assert 'zone "consul"' in dest.read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_no_server_is_started_by_what_is_written_for_it(name: str) -> None:
    # It may be about to start, and wait for the file: then both would wait.
    for command in TARGETS[name].reload:
        if command[0] == "systemctl":
            assert running.question(command), command
            assert running.starting(command) != command


def test_that_the_catalog_is_seen_in_part_is_told(file: Path) -> None:
    with Background(http=True) as running:
        agent = running.agents[0]
        where = f"address: {agent.address}, dns_port: {agent.dns_port}"
        file.write_text(f"consul: {{agents: [{{{where}, http_port: {agent.http_port}}}]}}\n")
        agent.faults.http.filtered.on()
        done = run("dnsmasq", "--server-version", "2.90", "--from-catalog")
    told = "warning: the token may not read all of service consul: it is used without the rest\n"
    assert told in done.stderr
