"""Consul's definition files: what they become, and every fault in them at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev import DevCluster, read_definitions
from consulfwd.errors import ConfigError
from tests.loopback import OWN


def test_the_examples(dns_tools: Any) -> None:
    found = read_definitions(dns_tools.examples)
    galera = [each for each in found if each.name == "galeradb"]
    assert [(each.id, each.node, each.address) for each in galera] == [
        (f"galera{n}", f"galera{n}", f"10.0.10.1{n}") for n in (1, 2, 3)
    ]
    assert {(each.tags, each.port) for each in galera} == {(("icinga-galera",), 3306)}
    web = [each for each in found if each.name == "web"]
    assert [(each.node, each.port, each.tags) for each in web] == [
        ("web1", 8080, ("v1", "primary")),
        ("web2", 8080, ("v1",)),
        ("web3", 8080, ("v2", "canary")),
    ]
    assert len(found) == 6
    assert {check.status for each in found for check in each.checks} == {"passing"}


def test_one_file_with_service_and_services(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    content = {
        "datacenter": "dc1",
        "service": {"name": "solo", "port": 1, "check": {"ttl": "10s", "status": "warning"}},
        "services": [
            {"ID": "b", "Name": "Big", "EnableTagOverride": True, "address": "10.0.0.1",
             "Meta": {"node": "rack-7"}, "weights": {"passing": 5},
             "checks": [{"id": "up", "tcp": "10.0.0.1:80"}, {"notes": "n", "args": ["true"]}]},
        ],
    }
    file.write_text(json.dumps(content))
    solo, big = read_definitions(file)
    assert (solo.id, solo.node, solo.address, solo.weights) == ("solo", None, "", (1, 1))
    (check,) = solo.checks
    assert (check.id, check.name, check.status, check.kind) == (
        "service:solo", "Service 'solo' check", "warning", "ttl"
    )
    assert (big.id, big.name, big.node, big.weights) == ("b", "Big", "rack-7", (5, 1))
    assert [(each.id, each.notes) for each in big.checks] == [("up", ""), ("service:b:2", "n")]


async def test_an_instance_without_an_address_is_on_the_first_agent(
    tmp_path: Path, dns_tools: Any
) -> None:
    (tmp_path / "local.json").write_text('{"service": {"name": "local", "port": 99}}')
    async with DevCluster(tmp_path, 2, http=False) as cluster:
        assert await dns_tools.ask(cluster.agents[1], "local.service.consul", "SRV") == [
            "NOERROR aa",
            "an local.service.consul. 0 SRV 1 1 99 dev1.node.dc1.consul.",
            f"ar dev1.node.dc1.consul. 0 A {OWN}",
        ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("{", ["{file}:1:2: not JSON: Expecting property name enclosed in double quotes"]),
        ("[]", ["{file}: must hold a JSON object with `service` or `services`"]),
        ('{"services": {}}', ["{file}: services: must be a list of services"]),
        ('{"service": []}', ["{file}: service: must be an object"]),
        ('{"service": {}}', ["{file}: service.name: is missing"]),
        ('{"service": {"name": ""}}', ["{file}: service.name: must not be empty"]),
        ('{"service": {"name": "a", "adress": "10.0.0.1"}}',
         ["{file}: service.adress: is no key of a Consul service"]),
        ('{"services": [{"name": "a"}, {"name": "b", "id": 7, "port": "80", "tags": "x"}]}',
         ["{file}: services[1].port: must be a whole number from 0 to 65535, not '80'",
          "{file}: services[1].id: must be a string, not 7",
          "{file}: services[1].tags: must be a list of strings"]),
        ('{"service": {"name": "a", "port": true, "meta": {"x": 1}, "weights": {"passing": -1}}}',
         ["{file}: service.port: must be a whole number from 0 to 65535, not True",
          "{file}: service.meta: must be an object of strings",
          "{file}: service.weights.passing: must be a whole number from 0 to 65535, not -1"]),
        ('{"service": {"name": "a", "weights": 3, "checks": {}, "check": 1}}',
         ['{file}: service.weights: must be an object like {"passing": 10, "warning": 1}',
          "{file}: service.checks: must be a list of checks",
          "{file}: service.check: must be an object"]),
        ('{"service": {"name": "a", "checks": [{"name": 1}, {"status": "ok"}]}}',
         ["{file}: service.checks[0].name: must be a string, not 1",
          "{file}: service.checks[1].status: must be one of passing, warning, critical: 'ok'"]),
        ('{"services": [{"name": "a"}, {"name": "a"}]}',
         ["{file}: services[1].id: 'a' is also the ID of {file}: services[0] "
          "(give each instance an id of its own)"]),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problems: list[str]) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_definitions(tmp_path)
    found = [str(problem) for problem in caught.value.problems]
    assert found == [problem.replace("{file}", str(file)) for problem in problems]


def test_problems_of_all_files_together(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"service": {"name": 1}}')
    (tmp_path / "b.json").write_bytes(b"\xff")
    (tmp_path / "notes.txt").write_text("not looked at")
    with pytest.raises(ConfigError) as caught:
        read_definitions(tmp_path)
    assert [Path(problem.where.split(":")[0]).name for problem in caught.value.problems] == [
        "a.json", "a.json", "b.json"
    ]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*.json file"):
        read_definitions(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_definitions(tmp_path / "missing.json")
