"""What is asked of agents, whom, and what is said of what could not be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from consulfwd import audit
from consulfwd.audit import Need, Options, Report
from consulfwd.errors import ConsulError
from tests.audit.agent import FakeAgent
from tests.loopback import OWN

DENIED = (403, "Permission denied")


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    fake = FakeAgent()
    fake.sound()
    with fake.serving():
        yield fake


def run(agent: FakeAgent, *others: int, **options: object) -> Report:
    return audit.run(agent.settings(*others), Options(**options))  # type: ignore[arg-type]


def unseen(report: Report) -> dict[str, str]:
    return dict(report.unseen)


def test_a_sound_site(agent: FakeAgent) -> None:
    report = run(agent)
    # The test has one agent; all else is as it should be.
    assert [one.id for one in report.findings] == ["one-agent"]
    assert report.site.datacenter == "dc1"
    assert [one.name for one in report.site.servers or ()] == ["s1", "s2", "s3"]
    assert set(unseen(report)) == {"the thresholds of the checks of 1 service"}


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/v1/catalog/nodes", "the nodes"),
        ("/v1/connect/intentions", "intentions"),
        ("/v1/status/leader", "whether there is a leader"),
        ("/v1/catalog/datacenters", "other datacenters"),
        ("/v1/operator/raft/configuration", "which servers vote"),
        ("/v1/operator/autopilot/health", "how far followers are behind"),
        ("/v1/health/service/web", "the service web"),
        ("/v1/agent/self", "the configuration of AGENT (encryption, ACLs, TTLs, thresholds)"),
    ],
)
def test_what_may_not_be_asked_is_told_and_never_sound(
    agent: FakeAgent, path: str, what: str
) -> None:
    agent.replies[path] = DENIED
    what = what.replace("AGENT", f"{OWN}:1")
    assert unseen(run(agent))[what] == "the token may not ask for it (403)"
    agent.replies[path] = (200, {"Servers": 7} if "autopilot" in path else [7])
    if path != "/v1/status/leader":
        said = unseen(run(agent)).items()
        assert any("Consul's form" in why for _, why in said), said


def test_without_raft_the_peers_tell_who_the_servers_are(agent: FakeAgent) -> None:
    agent.replies["/v1/operator/raft/configuration"] = DENIED
    agent.replies["/v1/status/peers"] = ["10.1.0.1:8300", "10.2.0.1:8300"]
    report = run(agent)
    assert [one.address for one in report.site.servers or ()] == ["10.1.0.1", "10.2.0.1"]
    assert "few-servers:site" in {one.key for one in report.findings}


@pytest.mark.parametrize("services", [DENIED, (500, "No cluster leader"), (200, {}), (200, [1])])
def test_without_the_list_of_services_there_is_no_audit(agent: FakeAgent, services: object) -> None:
    agent.replies["/v1/catalog/services"] = services
    with pytest.raises(ConsulError):
        run(agent)


def test_nobody_there() -> None:
    fake = FakeAgent()
    with fake.serving():
        pass
    with pytest.raises(ConsulError, match="connection refused"):
        audit.run(fake.settings())


def test_another_agent_answers_where_the_first_does_not(agent: FakeAgent) -> None:
    gone = FakeAgent()
    with gone.serving():
        pass
    settings = gone.settings(agent.port)
    report = audit.run(settings)
    assert f"agent-silent:{OWN}:1" in {one.key for one in report.findings}
    assert list(report.site.services) == ["web"]


def test_429_of_the_autopilot_says_who_is_not_well(agent: FakeAgent) -> None:
    health = agent.replies["/v1/operator/autopilot/health"]
    health["Servers"][2]["SerfStatus"] = "failed"
    agent.replies["/v1/operator/autopilot/health"] = (429, json.dumps(health))
    assert "server-away:s3" in {one.key for one in run(agent).findings}


def test_a_leader_that_has_not_looked_yet_tells_nothing(agent: FakeAgent) -> None:
    agent.replies["/v1/operator/autopilot/health"] = (429, '{"Healthy":false,"Servers":null}')
    report = run(agent)
    assert "the leader has not looked yet" in unseen(report)["how far followers are behind"]


def test_what_acls_hide_is_told(agent: FakeAgent) -> None:
    agent.headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
    what = unseen(run(agent))
    assert what["a part of what services holds"] == "ACLs hide it from this token"
    assert "a part of what service holds" in what


def test_an_old_consul_does_not_say_what_it_hides(agent: FakeAgent) -> None:
    agent.headers.clear()
    assert "whether all services and nodes are seen" in unseen(run(agent))


def test_an_agent_that_is_behind(agent: FakeAgent) -> None:
    agent.headers["X-Consul-LastContact"] = "9000"
    assert unseen(run(agent))["what happened lately"] == f"{OWN}:1 is 9 s behind the leader"


def test_needs_are_followed_to_the_end_and_no_further(agent: FakeAgent) -> None:
    two = (("s1", "10.1.0.1"), ("s2", "10.2.0.1"))
    agent.serve("web", *two, meta={"depends-on": "api"})
    agent.serve("api", *two)
    agent.serve("db", ("s3", "10.3.0.1"))
    agent.serve("other", ("s3", "10.3.0.1"))
    file = (Need("api", "outside", "file"), Need("outside", "db", "file"))
    report = run(agent, services=("we*",), needs=file)
    assert {one.key for one in report.findings} == {
        "hidden-dependency:web -> db",
        "one-agent:consul.agents",
    }
    assert set(report.site.services) == {"web", "api", "db"}
    assert "/v1/health/service/other" not in agent.asked


def test_the_time_is_kept(agent: FakeAgent) -> None:
    begin = time.monotonic()
    agent.replies["/v1/catalog/services"] |= {f"s{n}": [] for n in range(3000)}
    report = run(agent, timeout=0.5)
    assert time.monotonic() - begin < 5.0
    assert any("within 0.5 s" in why for why in unseen(report).values())


def test_names_of_strangers_are_asked_for_as_they_are(agent: FakeAgent) -> None:
    name = "a/../b?c=%2F#ü"
    agent.serve(name, ("s1", "10.1.0.1"))
    assert f"one-instance:{name}" in {one.key for one in run(agent).findings}


def test_other_datacenters(agent: FakeAgent) -> None:
    agent.replies["/v1/catalog/datacenters"] = ["dc2", "dc1"]
    assert run(agent).site.elsewhere == {"dc2": {"consul", "web"}}
