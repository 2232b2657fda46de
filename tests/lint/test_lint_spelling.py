"""What is written wrong, though it shows what is meant: told once, with its mend, and read so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from consulfwd.errors import LintError
from consulfwd.lint import Report, Wanted, check

AGENTS = "forwarders { 10.0.0.1 port 8600; 10.0.0.2 port 8600; };"
OPTIONS = "options { dnssec-validation no; clients-per-query 0; };\n"
FORWARD = (
    "forward-zone:\n name: consul\n forward-addr: 10.0.0.1@8600\n forward-addr: 10.0.0.2@8600\n"
)
UNBOUND = "server:\n discard-timeout: 0\n"
DNSMASQ = "local-service\nserver=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600\n"


def lint(folder: Path, text: str, server: str) -> Report:
    path = folder / "main.conf"
    path.write_text(text)
    return check(path, Wanted(server=server), lambda _: {}, lambda _: None)


@pytest.mark.parametrize(
    ("server", "text", "what", "mend"),
    [
        (
            "bind",
            f"options {{ dnssec-validaton no; clients-per-query 0; }};\n"
            f"zone consul {{ type forward; forward only; {AGENTS} }};",
            "named does not know 'dnssec-validaton'",
            "it is dnssec-validation",
        ),
        (
            "bind",
            f"{OPTIONS}zone consul {{ type forwarder; forward only; {AGENTS} }};",
            "named knows no zone of type 'forwarder'",
            "type forward;",
        ),
        (
            "bind",
            f"{OPTIONS}zone consul {{ type forward; forwad only; {AGENTS} }};",
            "named does not know 'forwad'",
            "it is forward",
        ),
        (
            "bind",
            f"{OPTIONS}zone consul {{ type forward; forward only;"
            " forwarders { 10.0.0.1 port 8600, 10.0.0.2 port 8600; }; };",
            "servers have a ; behind each of them",
            "10.0.0.1 port 8600; 10.0.0.2 port 8600;",
        ),
        (
            "bind",
            f"{OPTIONS}view all {{ max-cache-tll 60;\n"
            f"zone consul {{ type forward; forward only; {AGENTS} }}; }};",
            "named does not know 'max-cache-tll'",
            "it is max-cache-ttl",
        ),
        (
            "bind",
            f"{OPTIONS}options {{ version none; }};\n"
            f"zone consul {{ type forward; forward only; {AGENTS} }};",
            "options stands twice",
            "put all of it into one",
        ),
        (
            "bind",
            f"{OPTIONS}zone consul {{ type forward; forward only; forward first;\n"
            f"forward only; {AGENTS} }};",
            "forward stands twice",
            "take one of the two out",
        ),
        (
            "unbound",
            UNBOUND + FORWARD.replace("forward-zone", "forward-zones"),
            "unbound does not know 'forward-zones'",
            "forward-zone:",
        ),
        (
            "unbound",
            UNBOUND + FORWARD.replace("name:", "name ="),
            "a : is missing after name",
            "name: consul",
        ),
        (
            "unbound",
            UNBOUND + FORWARD.replace("\n forward-addr: 10.0.0.2", ", 10.0.0.2"),
            "forward-addr: takes one value, and has 2",
            "forward-addr: 10.0.0.1@8600\nforward-addr: 10.0.0.2@8600",
        ),
        (
            "unbound",
            UNBOUND + " prefetch: on\n" + FORWARD,
            "prefetch: is yes or no, not on",
            "prefetch: yes",
        ),
        (
            "unbound",
            UNBOUND + " access-control: 10.0.0.0/8\n" + FORWARD,
            "access-control: has no action",
            "access-control: 10.0.0.0/8 allow",
        ),
        (
            "unbound",
            UNBOUND + " do-not-query-localhost no\n" + FORWARD,
            "a : is missing after do-not-query-localhost",
            "do-not-query-localhost: no",
        ),
        (
            "unbound",
            UNBOUND + " do-not-query-locahost: no\n" + FORWARD,
            "unbound does not know 'do-not-query-locahost'",
            "do-not-query-localhost: no",
        ),
        (
            "unbound",
            UNBOUND + FORWARD.replace("forward-zone", "Forward-Zone"),
            "unbound knows Forward-Zone: in small letters alone",
            "forward-zone:",
        ),
        (
            "unbound",
            UNBOUND + FORWARD + " domain-insecure: consul\n",
            "domain-insecure: stands in a forward-zone, and is for the server",
            "server:\n    domain-insecure: consul",
        ),
        (
            "unbound",
            UNBOUND + FORWARD.replace("forward-addr: 10.0.0.2", "stub-addr: 10.0.0.2"),
            "stub-addr: stands in a forward-zone",
            "forward-addr: 10.0.0.2@8600",
        ),
        (
            "unbound",
            UNBOUND + FORWARD + " name: example.com\n",
            "name: stands twice in one forward-zone",
            'forward-zone:\n    name: "example.com"',
        ),
        (
            "unbound",
            UNBOUND + FORWARD + "forward-zone:\n forward-addr: 10.0.0.53\n",
            "the forward-zone has no name",
            'name: "consul."',
        ),
        ("dnsmasq", DNSMASQ + "all-server\n", "dnsmasq does not know 'all-server'", "all-servers"),
        (
            "dnsmasq",
            DNSMASQ + "all_servers\n",
            "dnsmasq does not know 'all_servers'",
            "all-servers",
        ),
        (
            "dnsmasq",
            DNSMASQ.replace("local-service\nserver", "local-service\nServer") + "all-servers\n",
            "dnsmasq does not know 'Server'",
            "server=/consul/10.0.0.1#8600",
        ),
        ("dnsmasq", DNSMASQ + "all-servers=yes\n", "all-servers takes no value", "all-servers"),
        (
            "dnsmasq",
            DNSMASQ.replace("=/consul/10.0.0.2", "=consul/10.0.0.2") + "all-servers\n",
            "server=consul/10.0.0.2#8600: the domain has no slash before it",
            "server=/consul/10.0.0.2#8600",
        ),
        (
            "dnsmasq",
            "local-service\nall-servers\nserver=/consul/10.0.0.1#8600,10.0.0.2#8600\n",
            "server takes one server, and has 2",
            "server=/consul/10.0.0.1#8600\nserver=/consul/10.0.0.2#8600",
        ),
    ],
)
def test_it_is_the_only_finding(
    server: str, text: str, what: str, mend: str, tmp_path: Path
) -> None:
    report = lint(tmp_path, text, server)
    assert [(one.code, one.what, one.mend) for one in report.findings] == [
        ("unreadable", what, mend)
    ]


@pytest.mark.parametrize(
    ("server", "text", "what"),
    [
        ("bind", f"{OPTIONS}zone consul {{ type forward; forward only; forwarders {{ X; }}; }};",
         "agent-address"),
        ("unbound", UNBOUND + FORWARD.replace("10.0.0.2@8600", "X"), "agent-address"),
        ("dnsmasq", DNSMASQ.replace("10.0.0.2#8600", "X") + "all-servers\n", "agent-address"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", ["10.0.0.2\u00a0port\u00a08600", "10.0.0.2\u20138600"])
def test_what_a_web_page_makes_of_blanks_and_dashes_is_none(
    server: str, text: str, what: str, written: str, tmp_path: Path
) -> None:
    found = {one.code for one in lint(tmp_path, text.replace("X", written), server).findings}
    assert what in found


def test_quotes_of_a_web_page_are_a_part_of_the_name(tmp_path: Path) -> None:
    text = f"{OPTIONS}zone \u201cconsul\u201d {{ type forward; forward only; {AGENTS} }};"
    (found,) = lint(tmp_path, text, "bind").findings
    assert found.code == "not-sent"
    assert "is not how its name is written" in found.what


@pytest.mark.parametrize("port", ["8600x", "0", "65536", "99999999"])
def test_a_port_that_is_none_is_no_agents(port: str, tmp_path: Path) -> None:
    for server, text in (
        ("bind", OPTIONS + "zone consul { type forward; forward only; forwarders {"
         f" 10.0.0.1 port 8600; 10.0.0.2 port {port}; }}; }};"),
        ("unbound", UNBOUND + FORWARD.replace("10.0.0.2@8600", f"10.0.0.2@{port}")),
        ("dnsmasq", DNSMASQ.replace("10.0.0.2#8600", f"10.0.0.2#{port}") + "all-servers\n"),
    ):  # fmt: skip
        assert [one.code for one in lint(tmp_path, text, server).findings] == ["agent-address"]


def test_what_is_behind_a_hash_is_a_comment_in_named_conf(tmp_path: Path) -> None:
    text = f"{OPTIONS}zone consul {{ type forward;\nforwarders {{ 10.0.0.1#8600; }}; }};\n"
    with pytest.raises(LintError, match=r"main.conf:3: 10.0.0.1#8600: .* is a comment here"):
        lint(tmp_path, text, "bind")


@pytest.mark.parametrize(
    ("server", "text"),
    [
        ("bind", "options { some-option-of-later-versions yes; };"),
        ("unbound", "server:\n some-attribute-of-later-versions: yes\n"),
        ("dnsmasq", "local-service\nsome-option-of-later-versions\n"),
    ],
)
def test_what_is_near_to_nothing_is_left_alone(server: str, text: str, tmp_path: Path) -> None:
    assert "unreadable" not in {one.code for one in lint(tmp_path, text, server).findings}


@pytest.mark.parametrize(
    ("server", "text"),
    [
        ("bind", "options {\n" + "".join(f"dnssec-validatio{n} x;\n" for n in range(9999)) + "};"),
        ("unbound", "server:\n" + "".join(f"interfac{n}: x\n" for n in range(9999))),
        ("dnsmasq", "server=" + "a" * 999_999),
        ("dnsmasq", "server=/consul/" + "10.0.0.1," * 99_999),
        (
            "bind",
            f"{OPTIONS}zone consul {{ type forward; {AGENTS} }};\n"
            + "".join(f"server 10.1.{n // 256}.{n % 256} {{ bogus yes; }};\n" for n in range(9999)),
        ),
        (
            "unbound",
            "server:\n"
            + "".join(f"do-not-query-address: 10.1.{n // 256}.{n % 256}\n" for n in range(9999))
            + FORWARD
            + " forward-addr: 10.9.0.1@8600\n" * 9_000,
        ),
    ],
)
def test_many_mistakes_take_no_time(server: str, text: str, tmp_path: Path) -> None:
    before = time.process_time()
    lint(tmp_path, text, server)
    assert time.process_time() - before < 10
