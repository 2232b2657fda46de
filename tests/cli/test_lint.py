"""`consulfwd lint`: what it prints, its exit codes, its options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consulfwd.cli.lint import TYPES
from consulfwd.lint import SERVERS
from tests.cli.conftest import Run

ZONE = "zone consul { type forward; forward only; forwarders { 127.0.0.1 port 8600; }; };\n"


@pytest.fixture
def named(tmp_path: Path) -> Path:
    path = tmp_path / "named.conf"
    path.write_text(f"options {{\n    dnssec-enable no;\n}};\n{ZONE}")
    return path


def test_findings(run: Run, named: Path) -> None:
    ended = run("lint", "--offline", "--server-version", "9.18", str(named))
    assert ended.code == 1
    assert ended.err == ""
    lines = ended.out.splitlines()
    at = lines.index(
        f"{named}:2: error: bind-dnssec-enable: BIND 9.18 and later do not start with dnssec-enable"
    )
    assert lines[at + 1] == "    why:  the server refuses the whole file"
    assert lines[at + 2].startswith("    mend: take it out; validate-except")
    assert lines[-1] == f"{named}: BIND 9.18 (given): 4 findings"


def test_no_findings(run: Run, named: Path) -> None:
    words = ("lint", "--offline", "--server-version", "9.18", str(named))
    named.write_text(ZONE.replace("8600", "5300"))
    ended = run(*words, "--listen", "127.0.0.1:5300")
    assert (ended.code, ended.out, ended.err) == (
        0,
        f"{named}: BIND 9.18 (given): no findings\n",
        "",
    )
    ended = run(*words, "--ignore", "single-agent")
    assert ended.code == 0
    ended = run(*words, "--domain", "corp.example")
    assert ended.code == 0
    assert ended.err == f"note: {named}: sends no names under corp.example anywhere\n"


def test_a_file_that_cannot_be_read_hides_no_other(run: Run, named: Path, tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.conf", tmp_path / "binary.conf"
    binary.write_bytes(b"\x00\x01options")
    words = ("lint", "--offline", "--server-version", "9.18")
    ended = run(*words, str(missing), str(named), str(binary))
    assert ended.code == 2
    assert "bind-dnssec-enable" in ended.out
    first, second = ended.err.splitlines()
    assert "cannot be read: No such file" in first
    assert str(missing) in first
    assert str(binary) in second
    ended = run(*words, "--json", str(named), str(missing))
    assert (ended.code, len(json.loads(ended.out))) == (2, 1)


def test_json(run: Run, named: Path) -> None:
    ended = run("lint", "--offline", "--server-version", "9.18", "--json", str(named), str(named))
    assert ended.code == 1
    one, two = json.loads(ended.out)
    assert one == two
    assert {key: one[key] for key in ("file", "server", "version", "version_from", "notes")} == {
        "file": str(named),
        "server": "BIND",
        "version": "9.18",
        "version_from": "given",
        "notes": [],
    }
    assert set(one["findings"][0]) == {"file", "line", "code", "severity", "what", "why", "mend"}


def test_agents_are_asked(run: Run, named: Path, agents: object, options: list[str]) -> None:
    addresses = [one.rpartition(":") for one in options[1::2]]
    forwarders = " ".join(f"{host} port {port};" for host, _, port in addresses)
    named.write_text(
        f"zone consul {{ type forward; forward only; forwarders {{ {forwarders} }}; }};"
    )
    ended = run("lint", str(named))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith(": no findings\n")


VERSIONS = {
    "bind": ("9.11", "9.16", "9.18", "9.20"),
    "unbound": ("1.9", "1.17", "1.20", "1.24"),
    "dnsmasq": ("2.80", "2.90"),
    "resolved": ("246", "252", "258"),
    "coredns": ("1.9", "1.13"),
}


@pytest.mark.parametrize("to", ["agents", "consulfwd"])
@pytest.mark.parametrize(
    ("server", "version"), [(server, one) for server in SERVERS for one in VERSIONS[server]]
)
def test_what_is_generated_has_no_findings(
    run: Run, tmp_path: Path, server: str, version: str, to: str
) -> None:
    settings = tmp_path / "consulfwd.yml"
    settings.write_text(
        "listen: [127.0.0.1:5300]\nrecursors: [10.0.0.53]\nconsul:\n"
        "  agents: [127.0.0.1, 10.0.0.11, 10.0.0.12]\n"
        "  datacenters: {dc2: {agents: [10.2.0.11, 10.2.0.12]}}\n"
        "  alt_domains: [corp.example]\n  reverse: [10.0.0.0/8, 172.16.1.0/24]\n"
    )
    options = ("-c", str(settings), "--server-version", version)
    whole = ("--named-conf",) if server == "bind" else ()
    written = run("generate", server, "--to", to, *whole, *options)
    assert written.code == 0
    path = tmp_path / "generated.conf"
    # Of several files, one after the other; what includes them is not needed then.
    kept = [line for line in written.out.splitlines() if not line.startswith("include ")]
    path.write_text("\n".join(kept))
    ended = run("lint", "--offline", str(path), *options)
    assert ended.err == ""
    assert ended.out.endswith(f"{version} (given): no findings\n")


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("options {", (), "named.conf:1: the { is never closed"),
        ("#", (), "does not look like a file of any server known (say whose it is: --type"),
        (ZONE, ("--type", "resolved"), "named.conf:1: "),
        (ZONE, ("--type", "named"), "Invalid value for '--type'"),
        (ZONE, ("--server-version", "x"), "--server-version: 'x' is no version, such as 9.18"),
        (ZONE, ("--ignore", "x"), "--ignore: there is no code 'x'"),
        (ZONE, ("--domain", "a..b"), "domain"),
    ],
)
def test_wrong_use(run: Run, named: Path, text: str, words: tuple[str, ...], said: str) -> None:
    named.write_text(text)
    ended = run("lint", "--offline", str(named), *words)
    assert ended.code == 2
    assert ended.out == ""
    assert said in ended.err
    if "Usage" not in ended.err:
        assert ended.err.count("\n") == 1


def test_a_file_is_needed(run: Run) -> None:
    assert run("lint").code == 2


def test_names_of_files_are_shown_safely(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb.conf"
    path.write_text("server=/consul/\x1b[2J#8600\n")
    ended = run("lint", "--offline", "--type", "dnsmasq", str(path))
    assert ended.code == 1
    assert "\x1b" not in ended.out + ended.err


def test_the_types_are_the_servers() -> None:
    assert sorted(TYPES) == sorted(SERVERS)
