"""`consulfwd lint`: what it prints, its exit codes, its options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consulfwd.apply import commands
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


def test_another_domain_is_asked_for(run: Run, named: Path) -> None:
    named.write_text(ZONE)
    words = ("lint", "--offline", "--server-version", "9.18", "--ignore", "single-agent")
    ended = run(*words, str(named), "--domain", "corp.example")
    assert ended.code == 1
    assert ended.err == ""
    assert f"{named}:1: error: not-sent: corp.example is sent to no agent: consul is " in ended.out
    assert '    mend: zone "corp.example" { type forward; forward only; ' in ended.out
    assert "\n          or, if Consul's domain is consul: lint with --domain consul\n" in ended.out


def test_places_of_one_cause(run: Run, named: Path) -> None:
    views = "".join(
        f"view v{n} {{\nmatch-clients {{ 10.{n}.0.0/16; }};\n{ZONE}}};\n" for n in range(8)
    )
    named.write_text(f"options {{ clients-per-query 0; dnssec-validation no; }};\n{views}")
    ended = run("lint", "--offline", "--server-version", "9.18", str(named))
    places = ", ".join(f"{named}:{4 * number}" for number in range(2, 7))
    assert f"    also: {places}, and 2 more\n" in ended.out
    assert ended.out.endswith(": 1 finding\n")


def test_the_servers_own_checker(run: Run, named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(named.parent))
    monkeypatch.setattr(commands, "MORE_PATHS", (str(named.parent),))
    named.write_text(ZONE.replace("8600;", "8600; 10.0.0.2 port 8600;"))
    words = ("lint", "--offline", "--server-version", "9.18", "--check", str(named))
    ended = run(*words)
    assert ended.code == 2
    assert ended.out.endswith(": no findings\n")
    assert "was not checked: named-checkconf is not installed here" in ended.err
    checker = named.with_name("named-checkconf")
    checker.write_text('#!/bin/sh\necho "$1:1: unknown option"\nexit 1\n')
    checker.chmod(0o755)
    ended = run(*words)
    assert (ended.code, ended.err) == (1, "")
    assert f"{named}:1: error: checker-refuses: named-checkconf says: unknown option\n" in ended.out
    ended = run(*words, "--ignore", "checker-refuses")
    assert (ended.code, ended.err) == (0, "")


def test_a_folder_given_file_by_file_is_one(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "resolved.conf.d"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.conf").write_text("[Resolve]\nDomains=~consul\n")
    ended = run("lint", "--offline", *(str(folder / f"{name}.conf") for name in ("b", "a")))
    assert (ended.code, ended.out.count("no findings")) == (0, 1)


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
    keys = {"file", "line", "code", "severity", "what", "why", "mend", "also"}
    assert set(one["findings"][0]) == keys
    assert one["findings"][0]["also"] == []
    named.write_text(ZONE + ZONE.replace("consul", "dc2.consul"))
    words = ("lint", "--offline", "--server-version", "9.18", "--json", str(named))
    (report,) = json.loads(run(*words).out)
    assert report["findings"][0]["also"] == [{"file": str(named), "line": 2}]


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
    "pdns-recursor": ("4.5", "4.8", "5.0", "5.2"),
    "kresd": ("5.4", "5.7"),
    "dnsdist": ("1.5", "1.9"),
}
# What every server can say; and with addresses of both families, and wider networks.
SITES = {
    "usual": (
        "  agents: [127.0.0.1, 10.0.0.11, 10.0.0.12]\n"
        "  datacenters: {dc2: {agents: [10.2.0.11, 10.2.0.12]}}\n"
        "  alt_domains: [corp.example]\n  reverse: [10.0.0.0/8, 172.16.1.0/24]\n"
    ),
    "wide": (
        '  agents: ["fd00::11", 10.0.0.12]\n  domain: sd.test\n'
        '  reverse: [192.168.0.0/15, "fd00::/8"]\n'
    ),
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("to", ["agents", "consulfwd"])
@pytest.mark.parametrize(
    ("server", "version"), [(server, one) for server in SERVERS for one in VERSIONS[server]]
)
def test_what_is_generated_has_no_findings(
    run: Run, tmp_path: Path, server: str, version: str, to: str, site: str
) -> None:
    settings = tmp_path / "consulfwd.yml"
    text = f"listen: [127.0.0.1:5300]\nrecursors: [10.0.0.53]\nconsul:\n{SITES[site]}"
    if server == "bind":
        # In a zone of their own, names of a datacenter would bite: `bind-zone-below`.
        text = "".join(line for line in text.splitlines(True) if "datacenters" not in line)
    settings.write_text(text)
    options = ("-c", str(settings), "--server-version", version)
    whole = ("--named-conf",) if server == "bind" else ()
    written = run("generate", server, "--to", to, *whole, *options)
    assert written.code == 0
    path = tmp_path / "generated.conf"
    # Of several files, one after the other; what includes them is not needed then.
    included = ("include ", "forward-zones-file=")
    kept = [line for line in written.out.splitlines() if not line.startswith(included)]
    path.write_text("\n".join(kept))
    ended = run("lint", "--offline", str(path), *options)
    assert ended.err == ""
    assert ended.out.endswith(f"{version} (given): no findings\n")


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("options {", (), "named.conf:1: the { is never closed"),
        ("#", (), "does not look like a file of any server known (say whose it is: --type"),
        (ZONE, ("--type", "resolved"), "named.conf: is no file of systemd-resolved's: it looks"),
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
