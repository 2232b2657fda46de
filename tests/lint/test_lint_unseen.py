"""What is in no file that was read is never held against those that were."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.lint import Report, Wanted, check

AGENTS = "forwarders { 10.0.0.1 port 8600; 10.0.0.2 port 8600; };"
ZONE = f"zone consul {{ type forward; forward only; {AGENTS} }};"
SET = "dnssec-validation auto; clients-per-query 0;"
FORWARD = (
    "forward-zone:\n name: consul\n forward-addr: 10.0.0.1@8600\n forward-addr: 127.0.0.1@8600\n"
)
SERVERS = "server=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600\n"


def lint(folder: Path, text: str, server: str) -> Report:
    path = folder / "main.conf"
    path.write_text(text)
    return check(path, Wanted(server=server), lambda _: {}, lambda _: None)


@pytest.mark.parametrize(
    ("server", "text", "said"),
    [
        ("bind", 'options { recursion no; };\ndyndb "ipa" "ldap.so" { uri "x"; };', "dyndb"),
        ("dnsmasq", "local-service\nconf-script=/usr/bin/agents\n", "conf-script"),
    ],
)
def test_zones_may_come_from_elsewhere(server: str, text: str, said: str, tmp_path: Path) -> None:
    report = lint(tmp_path, text, server)
    assert [one.code for one in report.findings if one.code != "bind-validation"] == []
    assert f"{tmp_path}/main.conf:2: what {said} brings cannot be read" in report.notes


@pytest.mark.parametrize(
    ("server", "gone", "here", "missing"),
    [
        (
            "bind",
            'options { include "gone.conf"; };\n' + ZONE,
            "options { };\n" + ZONE,
            {"bind-validation", "bind-clients-per-query"},
        ),
        (
            "bind",
            f'options {{ {SET} include "gone.conf"; }};\n{ZONE}',
            f'options {{ {SET} }};\ninclude "gone.conf";\n{ZONE}',
            {"bind-validation"},
        ),
        (
            "bind",
            'options { dnssec-validation no; clients-per-query 0; };\nzone consul {\n'
            f'include "gone.conf"; forward only; {AGENTS} }};',
            'options { dnssec-validation no; clients-per-query 0; };\nzone consul {\n'
            f"forward only; {AGENTS} }};",
            {"unreadable"},
        ),
        (
            "unbound",
            'server:\n trust-anchor-file: x\n private-address: 10.0.0.0/8\n include: "gone.conf"\n'
            + FORWARD,
            "server:\n trust-anchor-file: x\n private-address: 10.0.0.0/8\n" + FORWARD,
            {"unbound-validation", "unbound-private-address", "unbound-discard-timeout"}
            | {"unbound-do-not-query-localhost"},
        ),
        (
            "dnsmasq",
            "local-service\nstop-dns-rebind\nconf-file=gone.conf\n" + SERVERS,
            "local-service\nstop-dns-rebind\n" + SERVERS,
            {"dnsmasq-rebind", "dnsmasq-one-at-a-time"},
        ),
    ],
)
def test_what_is_missing_may_be_in_a_file_that_could_not_be_read(
    server: str, gone: str, here: str, missing: set[str], tmp_path: Path
) -> None:
    assert {one.code for one in lint(tmp_path, here, server).findings} == missing
    assert {one.code for one in lint(tmp_path, gone, server).findings} == set()


def test_the_servers_of_dnsmasq_may_have_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("server=/consul/10.0.0.1#8600\n")
    report = lint(tmp_path, "local-service\nservers-file=servers\n", "dnsmasq")
    assert [(Path(one.file).name, one.code) for one in report.findings] == [
        ("servers", "single-agent")
    ]
