"""What a file is at all: a ConfigMap, a template, another server's, no configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consulfwd.errors import LintError
from consulfwd.lint import Report, Wanted, check


def lint(path: Path, text: str, **wanted: Any) -> Report:
    path.write_text(text)
    return check(path, Wanted(**wanted), lambda _: {}, lambda _: None)


def codes(report: Report) -> list[str]:
    return [f"{one.line} {one.code}" for one in report.findings]


COREFILE = """\
    .:53 {
        errors
        forward . /etc/resolv.conf
        template IN A example {
            answer "{{ .Name }} 60 IN A 10.0.0.1"
        }
    }
    consul:53 {
        errors
        cache 30
        forward . 172.20.94.195
    }
"""


def test_the_corefile_of_a_configmap_is_read_where_it_stands(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: coredns}\ndata:\n  Corefile: |\n"
    report = lint(tmp_path / "coredns.yml", text + COREFILE)
    # The address of a service has port 53, and several agents behind it.
    assert codes(report) == ["15 coredns-cache-floor"]
    assert report.server.title == "CoreDNS"


def test_files_of_a_configmap_are_one_configuration(tmp_path: Path) -> None:
    text = (
        "kind: List\nitems:\n- kind: ConfigMap\n  data:\n    a.server: |\n      consul:53 {\n"
        "        cache 30\n        forward . 10.0.0.1:8600\n      }\n    b.txt: hello\n"
        "    c.server: |\n      example:53 {\n        errors\n      }\n"
    )
    assert codes(lint(tmp_path / "list.yml", text)) == [
        "6 coredns-no-errors",
        "7 coredns-cache-floor",
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("kind: ConfigMap\ndata:\n  a: b\n", 0, "without a configuration of any server known"),
        ("kind: ConfigMap\ndata:\n  a: [\n", 4, "is not valid YAML"),
        ("kind: ConfigMap\ndata:\n  a: " + "{a: " * 40, 3, "is nested too deeply"),
        ("# {{ c }}\nserver=/{{ domain }}/10.0.0.1\n", 2, "is a template, .*: {{ domain }}"),
        ("options {\n{% if x %}\n};\n", 2, "is a template, .*: {% if x %}"),
        ("server=/consul/${AGENT}#8600\n", 1, "is a template, .*: \\${AGENT}"),
        ("consul:53 {\n  forward . <%= agents %>\n}\n", 2, "is a template"),
        ("{{- range services }}\nserver=/consul/1.1.1.1\n", 1, "is a template"),
        ("nameserver 127.0.0.1\nsearch consul\n", 0, "is a resolv.conf"),
        ("$TTL 60\n@ IN SOA a. b. 1 2 3 4 5\n", 0, "is a zone file"),
        ('datacenter = "dc1"\ndns_config {\n  enable_truncate = true\n}\n', 0, "Consul's own"),
        ("[Unit]\nAfter=network.target\n", 0, "is a unit of systemd's"),
        ("server:\n  ip-address: 10.0.0.1\nzone:\n  name: a\n", 0, "is NSD's or Knot DNS's"),
        ("[misc]\n  dnsmasq_lines = [\n    \"cache-size=1\"\n  ]\n", 0, "is Pi-hole's own"),
        ("[main]\ndns=dnsmasq\nplugins=keyfile\n", 0, "is NetworkManager's own"),
        ("#!/bin/sh\ncat > x <<E\nlocal-service\nE\n", 0, "is a script"),
        ("kind: ConfigMap\ndata:\n  stubDomains: |\n    {}\n", 0, "is a ConfigMap of kube-dns"),
    ],
)
def test_what_no_server_reads_is_one_clear_error(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    with pytest.raises(LintError, match=said) as raised:
        lint(tmp_path / "file.conf", text)
    assert raised.value.mend
    assert raised.value.line == line


def test_what_looks_like_a_template_and_is_none(tmp_path: Path) -> None:
    for text in (
        "policy.add(policy.all(policy.TLS_FORWARD({{'192.0.2.1', hostname='a'}})))\n"
        "policy.add(policy.suffix(policy.STUB({{address='1.1.1.1'}}), {todname('consul')}))",
        "consul:53 {\n  errors\n  bind {$ADDRESS} {%OTHER%}\n  forward . 10.0.0.1:8600\n}",
        "acl a {{ 10.0.0.0/8; }; };",
    ):
        lint(tmp_path / "file.conf", text)


@pytest.mark.parametrize(
    ("text", "named", "found"),
    [
        ("consul:53 {\n  forward . 10.0.0.1\n}\n", "bind", "coredns"),
        ("options {\n  recursion yes;\n};\n", "coredns", "bind"),
        ("server:\n  port: 53\n", "dnsmasq", "unbound"),
        ("server:\n  port: 53\n", "resolved", "unbound"),
        ("dnssec=off\nforward-zones=consul=10.0.0.1\n", "dnsmasq", "pdns-recursor"),
        ("server=/consul/10.0.0.1\n", "pdns-recursor", "dnsmasq"),
        ("newServer('10.0.0.1')\n", "bind", "dnsdist"),
    ],
)
def test_a_file_of_another_server_is_told(
    tmp_path: Path, text: str, named: str, found: str
) -> None:
    with pytest.raises(LintError, match=r"is no file of .*: it looks like ") as raised:
        lint(tmp_path / "file.conf", text, server=named)
    assert raised.value.mend == f"--type {found}, or leave --type out"


def test_a_type_holds_where_a_file_tells_nothing(tmp_path: Path) -> None:
    report = lint(tmp_path / "forward.conf", "forward . 10.0.0.1:8600\n", server="coredns")
    assert codes(report) == ["1 not-sent"]
