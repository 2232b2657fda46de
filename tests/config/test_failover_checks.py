"""The settings of checks: what is taken, and every fault at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import load
from consulfwd.config.failover_checks import CheckSettings, conflicts
from consulfwd.errors import ConfigError

URL = "https://www.example.com/health"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("http", {"url": URL}),
        (
            "http",
            {
                "url": "http://www.example.com:8080/?a=b", "host": "other.example:81",
                "headers": {"X-Probe": "yes"}, "status": [200, "300-399"], "contains": "ok",
                "matches": "a|b", "redirects": 2, "ca_file": "/etc/ca.pem",
            },
        ),
        ("http", {"url": "https://[2001:db8::1]/", "method": "HEAD", "verify": False}),
        ("tcp", {"port": 6379, "send": "PING\r\n", "contains": "+PONG"}),
        ("dns", {"name": "www.example.com", "type": "aaaa", "values": ["2001:db8::1"]}),
        ("dns", {"name": "no.example.com", "rcode": "nxdomain", "transport": "tcp"}),
        ("command", {"argv": ["/usr/lib/nagios/plugins/check_ping", "-H", "{address}"]}),
        ("consul", {"service": "web", "about": "service", "least": 2, "datacenter": "dc2"}),
    ],
)  # fmt: skip
def test_a_check_is_taken(kind: str, given: dict[str, Any]) -> None:
    kinds: dict[str, Any] = {kind: given}
    check = CheckSettings(**kinds)
    assert list(conflicts((), check)) == []
    assert check.kind == kind


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ({"http": {}}, "http.url", "url is missing"),
        ({"http": {"url": "ftp://x.example/"}}, "http.url", "is not a URL of HTTP"),
        ({"http": {"url": "http://a b/"}}, "http.url", "is not a URL of HTTP"),
        ({"http": {"url": "http://u:p@x.example/"}}, "http.url", "has more in it than a check"),
        ({"http": {"url": "http://-x.example/"}}, "http.url", "has the label '-x'"),
        ({"http": {"url": URL, "status": [20]}}, "http.status[0]", "20 is not a status of HTTP"),
        ({"http": {"url": URL, "status": ["300-200"]}}, "http.status[0]", "is not a status"),
        ({"http": {"url": URL, "status": [True]}}, "http.status[0]", "true is not a status"),
        ({"http": {"url": URL, "status": []}}, "http.status", "must not be empty"),
        ({"http": {"url": URL, "matches": "("}}, "http.matches", "has a ( without its )"),
        ({"http": {"url": URL, "contains": ""}}, "http.contains", "a text that is looked for"),
        (
            {"http": {"url": URL, "headers": {"Authorization": "x"}}},
            "http.headers.Authorization", "would show a secret",
        ),
        (
            {"http": {"url": URL, "headers": {"X-A": "a\r\nb"}}},
            "http.headers.X-A", "is not a header's value",
        ),
        (
            {"http": {"url": URL, "headers": {"Host": "a"}}},
            "http.headers.Host", "is said by the check itself",
        ),
        ({"tcp": {"port": 0}}, "tcp.port", "0 is too little"),
        ({"dns": {"name": "x.example", "type": "FOO"}}, "dns.type", "is not a type of records"),
        ({"dns": {"name": "x.example", "rcode": "OK"}}, "dns.rcode", "is not a response code"),
        ({"command": {"argv": []}}, "command.argv", "must not be empty"),
        ({"command": {"argv": "true"}}, "command.argv", "must be a list"),
        ({"consul": {"service": ""}}, "consul.service", "is not a name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(given: Any, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CheckSettings(**given)
    (problem,) = refused.value.problems
    assert problem.where == where
    assert what in problem.what


def test_all_faults_are_told_at_once() -> None:
    http = {"url": "x", "status": [1], "matches": "[", "redirects": 9, "wrong": 1}
    with pytest.raises(ConfigError) as refused:
        CheckSettings(http=http, tcp={"port": -1})  # type: ignore[arg-type]
    assert len(refused.value.problems) == 6


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ({}, (), "is of no kind"),
        ({"tcp": {"port": 1}, "dns": {"name": "a.b"}}, (), "is of several kinds: tcp, dns"),
        (
            {"http": {"url": URL, "method": "HEAD", "contains": "x"}},
            ("http", "contains"), "there is no page to look into: method is HEAD",
        ),
        (
            {"http": {"url": "http://a.b/", "server_name": "a.b"}},
            ("http", "server_name"), "'http://a.b/' is not asked for over TLS",
        ),
        (
            {"http": {"url": URL, "verify": False, "ca_file": "/x"}},
            ("http", "ca_file"),
            "verify is false: whoever signed the certificate makes no difference",
        ),
        ({"command": {"argv": ["x"], "ok": [0, 1]}}, ("command", "fail", 0), "1 is OK already"),
        (
            {"dns": {"name": "a.b", "rcode": "NXDOMAIN", "values": ["x"]}},
            ("dns", "values"), "an answer of NXDOMAIN has no data",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told(given: Any, where: tuple[Any, ...], what: str) -> None:
    (told,) = conflicts(("check",), CheckSettings(**given))
    assert told.path == ("check", *where)
    assert told.what == what


def test_a_record_is_read_with_its_check(tmp_path: Path) -> None:
    path = tmp_path / "consulfwd.yml"
    path.write_text(
        "failover:\n"
        "  www.example.com:\n"
        "    pools: [{addresses: [192.0.2.1]}]\n"
        "    check:\n"
        f"      http: {{url: {URL}, ca_file: /nowhere/ca.pem, method: HEAD, contains: ok}}\n"
    )
    with pytest.raises(ConfigError) as refused:
        load(path, {}, {})
    page, file = sorted(refused.value.problems, key=lambda one: one.what, reverse=True)
    assert f"{path}:5" in page.where
    assert "there is no page to look into" in page.what
    assert "/nowhere/ca.pem cannot be read" in file.what
    path.write_text(path.read_text().replace("method: HEAD, ", ""))
    assert load(path, {}, {}, over_http=False).settings.failover


def test_a_check_can_be_told_from_others() -> None:
    headers = [{"X-A": "1", "X-B": "2"}, {"X-B": "2", "X-A": "1"}, {"X-A": "1"}]
    first, same, other = (
        CheckSettings(http={"url": URL, "headers": one})  # type: ignore[arg-type]
        for one in headers
    )
    assert first == same
    assert hash(first) == hash(same)
    assert first != other
    assert len({first, same, other}) == 2
