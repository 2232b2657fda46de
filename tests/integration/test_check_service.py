"""`consulfwd check service` at real Consul: what there is, what is hidden, and agents that fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from consulfwd.dev.real import RealCluster
from tests.checks.conftest import Plugin
from tests.checks.conftest import plugin as plugin
from tests.checks.said import Said, well_formed
from tests.integration.conftest import NEWEST

SEES = 'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'
NOT_ALL_NODES = 'node "one" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'
SHORT = "2"


Check = Callable[..., Said]


@pytest.fixture
def check(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run it in this process, to ask all servers in turn; with a token of the environment.

    Again if something else is said than is to be: on a busy machine servers are without a leader
    now and then.
    """

    def run(
        cluster: RealCluster, *words: str, says: str = "", environ: Mapping[str, str] | None = None
    ) -> Said:
        asked = [f"{one.address}:{one.http_port}" for one in cluster.servers]
        hosts = [word for one in asked for word in ("-H", one)]
        with monkeypatch.context() as patch:
            for name, value in (environ or {}).items():
                patch.setenv(name, value)
            for _ in range(8):
                said = plugin("service", *words, *hosts)
                well_formed(said)
                if says in said.first:
                    break
        return said

    return run


def test_what_real_consul_says(acl_cluster: RealCluster, check: Check, tmp_path: Path) -> None:
    tokens = {}
    for name, rules in (("all", SEES), ("some", NOT_ALL_NODES), ("none", "")):
        tokens[name] = tmp_path / name
        tokens[name].write_text(acl_cluster.create_token(rules or 'key "x" { policy = "read" }'))
    see = ("--token-file", str(tokens["all"]))

    well = check(acl_cluster, "galeradb", "-m", "3", *see, says="OK")
    assert (well.code, well.first) == (0, "SERVICE OK: galeradb: 3 of 3 instances healthy")
    mixed = check(acl_cluster, "mixed", "--minimum-warning", "100%", *see, says="WARNING")
    assert (mixed.code, mixed.first) == (
        1,
        "SERVICE WARNING: mixed: 1 of 2 instances healthy (warning at less than 100%)",
    )
    assert mixed.below[0].startswith("critical: mixed2 on two (10.0.50.2:82): ")
    gone = check(acl_cluster, "nope", *see, says="CRITICAL")
    assert (gone.code, gone.first) == (2, "SERVICE CRITICAL: nope: no such service in Consul")
    elsewhere = check(acl_cluster, "galeradb", "--dc", "nowhere", *see, says="No path")
    assert elsewhere.code == 3
    assert "No path to datacenter" in elsewhere.first

    # Nothing is said, as of what is not there; and where that is by rights, so is this.
    environ = {"CONSUL_HTTP_TOKEN_FILE": str(tokens["none"])}
    may_not = "this token may not read it"
    for name, token in (("galeradb", environ), ("hidden", {})):
        said = check(acl_cluster, name, environ=token, says=may_not)
        assert said.code == 3
        assert may_not in said.first
    part = check(acl_cluster, "mixed", "-m", "2", "--token-file", str(tokens["some"]))
    # Before Consul 1.11 nobody tells that some of it is hidden.
    assert part.code in (2, 3)
    environ = {"CONSUL_HTTP_TOKEN": "00000000-1111-2222-3333-444455556666"}
    unknown = check(acl_cluster, "galeradb", environ=environ, says="permission denied")
    assert unknown.code == 3
    assert "permission denied" in unknown.first


@NEWEST
def test_an_agent_that_hangs_and_all_of_them(
    acl_cluster: RealCluster, check: Check, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(acl_cluster.create_token(SEES))
    words = ("galeradb", "-v", "--token-file", str(token))
    # The first that is asked, unless the others then have no leader.
    first, *others = acl_cluster.servers
    first.freeze()
    said = check(acl_cluster, *words, "-t", "10", says="OK")
    assert said.code == 0
    assert said.below[-1] in [f"asked: {one.address}:{one.http_port}" for one in others]
    for one in others:
        one.freeze()
    said = check(acl_cluster, *words, "-t", SHORT)
    assert said.code == 3
    assert said.first.startswith("SERVICE UNKNOWN: galeradb: ")
