"""The HTTP endpoints as a client sees them: shapes, blocking queries, faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from consulfwd.dev import Catalog, DevAgent, DevCluster
from consulfwd.dev.httpagent import parse_duration
from tests.loopback import OWN

HEALTH = "/v1/health/service/galeradb"


@pytest.fixture
async def served(dns_tools: Any, clock: Any) -> AsyncIterator[DevCluster]:
    async with DevCluster(dns_tools.examples, 2, clock=clock) as cluster:
        yield cluster


@pytest.fixture
def first(served: DevCluster) -> DevAgent:
    return served.agents[0]


class Api:
    """GET as (status, index, body)."""

    def __init__(self, agent: DevAgent, session: aiohttp.ClientSession) -> None:
        self._base = f"http://{agent.address}:{agent.http_port}"
        self.session = session

    def url(self, path: str) -> str:
        return self._base + path

    async def get(self, path: str) -> tuple[int, int, Any]:
        async with self.session.get(self.url(path)) as response:
            json = response.content_type == "application/json"
            body = await (response.json() if json else response.text())
            return response.status, int(response.headers.get("X-Consul-Index", 0)), body

    async def headers(self, path: str) -> tuple[str, ...]:
        async with self.session.get(self.url(path)) as response:
            names = ("KnownLeader", "LastContact", "Query-Backend", "Effective-Consistency")
            return tuple(response.headers[f"X-Consul-{name}"] for name in names)

    async def put(self, path: str) -> tuple[int, str]:
        async with self.session.put(self.url(path)) as response:
            return response.status, await response.text()


@pytest.fixture
async def api(first: DevAgent) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Api(first, session)


def addresses(body: Any) -> list[str]:
    return sorted(entry["Service"]["Address"] for entry in body)


async def waiters(catalog: Catalog, count: int) -> None:
    while catalog.waiting != count:
        await asyncio.sleep(0.001)


async def test_health_has_consuls_shape(api: Api, served: DevCluster) -> None:
    status, index, body = await api.get(HEALTH + "?passing&tag=icinga-galera&near=_agent")
    assert (status, index) == (200, served.catalog.service_index("galeradb"))
    assert addresses(body) == ["10.0.10.11", "10.0.10.12", "10.0.10.13"]
    entry = body[0]
    node, service, (serf, check) = entry["Node"], entry["Service"], entry["Checks"]
    assert (node["Node"], node["Address"], node["Datacenter"]) == ("galera1", "10.0.10.11", "dc1")
    assert (service["ID"], service["Service"], service["Port"]) == ("galera1", "galeradb", 3306)
    assert (service["Tags"], service["Meta"]["cluster"]) == (["icinga-galera"], "icinga")
    assert service["Weights"] == {"Passing": 1, "Warning": 1}
    assert (serf["CheckID"], serf["ServiceID"], serf["Status"]) == ("serfHealth", "", "passing")
    assert (check["CheckID"], check["ServiceID"], check["ServiceName"], check["Type"]) == (
        "galera1-state", "galera1", "galeradb", "ttl"
    )


async def test_passing_and_tag_filter(api: Api, served: DevCluster) -> None:
    served.catalog.set_check("galera1", "critical")
    served.catalog.set_check("galera2", "warning")
    assert len((await api.get(HEALTH))[2]) == 3
    assert addresses((await api.get(HEALTH + "?passing"))[2]) == ["10.0.10.13"]
    assert len((await api.get(HEALTH + "?passing=false"))[2]) == 3
    assert (await api.get(HEALTH + "?tag=other"))[2] == []
    assert addresses((await api.get("/v1/health/service/web?tag=v2&tag=canary"))[2]) == [
        "fd00:20::13"
    ]
    assert (await api.get("/v1/health/service/nosuch"))[::2] == (200, [])


async def test_checks_that_are_bad_and_numbers_of_instances(
    api: Api, served: DevCluster
) -> None:
    async def critical() -> list[tuple[str, str]]:
        found = (await api.get("/v1/health/state/critical"))[2]
        return [(one["Node"], one["ServiceName"]) for one in found]

    assert await critical() == []
    served.catalog.set_check("galera1", "critical")
    served.catalog.set_node_check("web1", "critical")
    assert await critical() == [("galera1", "galeradb"), ("web1", "")]
    counted = (await api.get("/v1/internal/ui/services"))[2]
    (galera,) = (one for one in counted if one["Name"] == "galeradb")
    assert (galera["InstanceCount"], galera["ChecksPassing"], galera["ChecksCritical"]) == (3, 2, 1)


async def test_catalog(api: Api) -> None:
    assert (await api.get("/v1/catalog/services"))[2] == {
        "consul": [], "galeradb": ["icinga-galera"], "web": ["v1", "primary", "v2", "canary"]
    }
    entry, *others = (await api.get("/v1/catalog/service/web?tag=v1"))[2]
    assert (entry["Node"], entry["ServiceID"], entry["ServiceAddress"], entry["ServicePort"]) == (
        "web1", "web1", "10.0.20.11", 8080
    )
    assert [each["ServiceTags"] for each in others] == [["v1"]]
    node = (await api.get("/v1/catalog/node/GALERA1"))[2]
    assert node["Node"]["Address"] == "10.0.10.11"
    assert node["Services"]["galera1"]["Port"] == 3306
    assert (await api.get("/v1/catalog/node/nosuch"))[::2] == (200, None)
    names = [each["Node"] for each in (await api.get("/v1/catalog/nodes"))[2]]
    assert names == sorted(["dev1", "dev2", *(f"{kind}{n}" for kind in ("galera", "web")
                                              for n in (1, 2, 3))])


async def test_status_and_self(api: Api, served: DevCluster, first: DevAgent) -> None:
    assert (await api.get("/v1/status/leader"))[2] == f"{OWN}:8300"
    assert (await api.get("/v1/status/peers"))[2] == [f"{OWN}:8300"] * 2
    assert (await api.get("/v1/catalog/datacenters"))[2] == ["dc1"]
    served.add_datacenter("dc2").register("far", address="10.2.0.1")
    assert (await api.get("/v1/catalog/datacenters"))[2] == ["dc1", "dc2"]
    assert addresses((await api.get("/v1/health/service/far?dc=dc2"))[2]) == ["10.2.0.1"]
    config = (await api.get("/v1/agent/self"))[2]
    assert (config["Config"]["NodeName"], config["Config"]["Datacenter"]) == ("dev1", "dc1")
    assert config["DebugConfig"]["DNSDomain"] == "consul."
    assert config["DebugConfig"]["DNSPort"] == first.dns_port


async def test_maintenance(api: Api, served: DevCluster) -> None:
    path = "/v1/agent/service/maintenance/galera1"
    assert await api.put(path + "?enable=true&reason=disk") == (200, "")
    assert addresses((await api.get(HEALTH + "?passing"))[2]) == ["10.0.10.12", "10.0.10.13"]
    check = (await api.get(HEALTH))[2][0]["Checks"][-1]
    assert (check["CheckID"], check["Status"], check["Notes"]) == (
        "_service_maintenance:galera1", "critical", "disk"
    )
    assert await api.put(path + "?enable=false") == (200, "")
    assert len((await api.get(HEALTH + "?passing"))[2]) == 3
    assert await api.put(path) == (400, "Missing value for enable")
    assert (await api.put(path + "?enable=maybe"))[0] == 400
    assert (await api.put(path.replace("galera1", "galeradb") + "?enable=true"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/health/service/", 400, "Missing service name"),
        (HEALTH + "?index=abc", 400, "Invalid index"),
        (HEALTH + "?index=1&wait=xyz", 400, "Invalid wait time"),
        (HEALTH + "?stale&consistent", 400,
         "Cannot specify ?stale with ?consistent, conflicting semantics."),
        (HEALTH + "?dc=nope", 500, "No path to datacenter"),
        ("/v1/nothing", 404, "404: Not Found"),
    ],
)
async def test_wrong_requests(api: Api, path: str, status: int, text: str) -> None:
    assert await api.get(path) == (status, 0, text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("", None), ("5", None),
     ("s", None), ("5 s", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


async def test_blocking_query_wakes_on_its_own_change(api: Api, served: DevCluster) -> None:
    _, index, _ = await api.get(HEALTH)
    asked = asyncio.ensure_future(api.get(f"{HEALTH}?passing&index={index}&wait=60s"))
    await waiters(served.catalog, 1)
    served.catalog.set_check("web1", "critical")
    await asyncio.sleep(0)
    assert not asked.done()
    served.catalog.set_check("galera1", "critical")
    status, later, body = await asked
    assert (status, later) == (200, served.catalog.index)
    assert addresses(body) == ["10.0.10.12", "10.0.10.13"]


async def test_blocking_query_times_out_by_the_clock(
    api: Api, served: DevCluster, clock: Any
) -> None:
    _, index, body = await api.get(HEALTH)
    asked = asyncio.ensure_future(api.get(f"{HEALTH}?index={index}&wait=160s"))
    await waiters(served.catalog, 1)
    clock.now += 159.9
    served.catalog.tick()
    await waiters(served.catalog, 1)
    assert not asked.done()
    clock.now += 10.1
    served.catalog.tick()
    assert await asked == (200, index, body)


async def test_blocking_on_nodes_and_the_list_of_services(api: Api, served: DevCluster) -> None:
    _, node, _ = await api.get("/v1/catalog/node/galera1")
    _, listed, _ = await api.get("/v1/catalog/services")
    one = asyncio.ensure_future(api.get(f"/v1/catalog/node/galera1?index={node}"))
    two = asyncio.ensure_future(api.get(f"/v1/catalog/services?index={listed}"))
    await waiters(served.catalog, 2)
    served.catalog.register_node("galera1", "10.0.10.99")
    assert (await one)[2]["Node"]["Address"] == "10.0.10.99"
    served.catalog.register("fresh", address="10.0.0.1")
    assert "fresh" in (await two)[2]


async def test_headers_and_streaming(api: Api, first: DevAgent) -> None:
    blocking = ("true", "0", "blocking-query", "leader")
    assert await api.headers(HEALTH) == blocking
    assert await api.headers(HEALTH + "?stale") == (*blocking[:3], "stale")
    assert await api.headers(HEALTH + "?index=1") == blocking
    first.streaming = True
    assert await api.headers(HEALTH) == blocking
    assert await api.headers(HEALTH + "?index=1") == ("false", "0", "streaming", "leader")
    assert await api.headers(HEALTH + "?index=1&near=_agent") == blocking


async def test_faults(api: Api, first: DevAgent) -> None:
    faults = first.faults.http
    faults.status.on(429, count=1)
    assert (await api.get(HEALTH))[0] == 429
    faults.status.on(500, count=1)
    assert (await api.get("/v1/status/leader"))[0] == 500
    faults.empty.on(count=1)
    assert (await api.get(HEALTH))[::2] == (200, [])
    faults.empty.on(count=1)
    assert (await api.get("/v1/catalog/services"))[::2] == (200, {})
    faults.index_reset.on(count=1)
    status, index, body = await api.get(HEALTH)
    assert (status, index, len(body)) == (200, 1, 3)
    faults.refuse.on()  # no count: aiohttp's client repeats what failed on a kept connection
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.get(HEALTH)
    faults.refuse.off()
    faults.delay.on(0.001, count=1)
    assert (await api.get(HEALTH))[0] == 200
    assert faults.delay.hits == 1
    assert first.requests[-1] == HEALTH


async def test_an_agent_that_lost_its_leader(api: Api, first: DevAgent) -> None:
    first.faults.http.no_leader.on(count=1)
    first.faults.http.last_contact.on(7.5, count=2)
    assert (await api.headers(HEALTH))[:2] == ("false", "7500")
    assert (await api.headers(HEALTH))[:2] == ("true", "7500")
    assert (await api.headers(HEALTH))[:2] == ("true", "0")


async def test_hang_ends_with_the_agent(api: Api, first: DevAgent) -> None:
    first.faults.http.hang.on()
    asked = asyncio.ensure_future(api.put("/v1/agent/service/maintenance/galera1?enable=true"))
    while not first.faults.http.hang.hits:
        await asyncio.sleep(0.001)
    assert not asked.done()
    await first.stop("http")
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked


async def test_hang_strikes_those_that_wait_as_well(
    api: Api, served: DevCluster, first: DevAgent
) -> None:
    _, index, _ = await api.get(HEALTH)
    asked = asyncio.ensure_future(api.get(f"{HEALTH}?index={index}&wait=60s"))
    await waiters(served.catalog, 1)
    first.faults.http.hang.on()
    served.catalog.set_check("galera1", "critical")
    while not first.faults.http.hang.hits:
        await asyncio.sleep(0.001)
    assert not asked.done()
    await first.stop("http")
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked


async def test_a_token_that_may_not_read_all(api: Api, first: DevAgent) -> None:
    first.faults.http.filtered.on(count=1)
    async with api.session.get(api.url(HEALTH)) as response:
        assert response.headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
        assert len(await response.json()) == 2
    async with api.session.get(api.url(HEALTH)) as response:
        assert "X-Consul-Results-Filtered-By-ACLs" not in response.headers


async def test_a_token_that_may_not_read_all_of_a_stream(
    api: Api, served: DevCluster, first: DevAgent
) -> None:
    first.streaming = True
    _, index, _ = await api.get(HEALTH)
    first.faults.http.filtered.on()
    asked = asyncio.ensure_future(api.session.get(api.url(f"{HEALTH}?index={index}&wait=600s")))
    await waiters(served.catalog, 1)
    served.catalog.set_check("galera1", "critical")
    async with await asked as response:
        assert "X-Consul-Results-Filtered-By-ACLs" not in response.headers
        assert len(await response.json()) == 2


async def test_services_have_no_proxies(api: Api) -> None:
    assert (await api.get("/v1/health/connect/web"))[::2] == (200, [])


async def test_stopping_ends_blocking_queries_at_once(
    api: Api, served: DevCluster, first: DevAgent
) -> None:
    _, index, _ = await api.get(HEALTH)
    asked = asyncio.ensure_future(api.get(f"{HEALTH}?index={index}&wait=600s"))
    await waiters(served.catalog, 1)
    port = first.http_port
    await asyncio.wait_for(first.stop(), 0.4)
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked
    assert served.catalog.waiting == 0
    await first.start()
    assert first.http_port == port
    assert (await api.get(HEALTH))[0] == 200


async def test_frozen_agent_holds_http_and_forgets_its_services(
    api: Api, served: DevCluster, first: DevAgent, clock: Any
) -> None:
    _, index, _ = await api.get(HEALTH)
    blocked = asyncio.ensure_future(api.get(f"{HEALTH}?index={index}&wait=60s"))
    await waiters(served.catalog, 1)
    first.faults.frozen = True
    plain = asyncio.ensure_future(api.get(HEALTH))
    served.catalog.set_check("galera1", "critical")
    while first.faults.holding < 2:
        await asyncio.sleep(0.001)
    assert not blocked.done()
    assert not plain.done()
    first.faults.resume(nxdomain_for=3.0)
    assert (await blocked)[2] == []
    assert (await plain)[2] == []
    clock.now += 3.0
    assert len((await api.get(HEALTH))[2]) == 3
