"""The embedded development agents answer as real Consul does for the same catalog."""

from __future__ import annotations

import asyncio

import dns.message

from consulfwd.dev import DevCluster
from consulfwd.dev.catalog import Catalog, Check
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import SIZES, At, ask, facts
from tests.integration.conftest import generation
from tests.integration.served import at
from tests.integration.services import QUERY, TEXT_NODE
from tests.integration.test_answers import QUESTIONS

# To a development agent every service is a prepared query of the same name, and no other is.
FORMS = [
    *(one for one in QUESTIONS if QUERY not in one[0]),
    ("web.query.consul", "A"),
    ("web.query.consul", "SRV"),
    ("web.query.dc1.consul", "AAAA"),
    ("big.service.consul", "A"),
    ("big.service.consul", "SRV"),
]
# They follow modern Consul; before 1.18 or so, some forms were answered otherwise.
OTHERWISE: dict[str, set[tuple[str, str]]] = {
    "modern": set(),
    "debian": {
        # All of a node's records, however many.
        (f"{TEXT_NODE}.node.consul", "ANY"),
        # The address of the other family as the answer.
        ("0a000a0b.addr.dc1.consul", "AAAA"),
        # SERVFAIL.
        *(one for one in QUESTIONS if one[1] == "PTR" and one[0][0] == "9"),
    },
}


def copied(agent: RealAgent, into: Catalog) -> None:
    """Put every node, instance and check of the real catalog into a development one."""
    for name in list(into.nodes):
        into.deregister_node(name)
    checks = agent.http("GET", "/v1/health/state/any")
    for node in agent.http("GET", "/v1/catalog/nodes"):
        into.register_node(node["Node"], node["Address"], node["Meta"])
        services = agent.http("GET", f"/v1/catalog/node/{node['Node']}")["Services"]
        for each in services.values():
            into.register(
                each["Service"],
                id=f"{node['Node']}/{each['ID']}",
                node=node["Node"],
                address=each["Address"],
                port=each["Port"],
                tags=each["Tags"] or (),
                meta=each["Meta"] or {},
                weights=(each["Weights"]["Passing"], each["Weights"]["Warning"]),
                checks=[
                    Check(one["CheckID"], one["Name"], one["Status"])
                    for one in checks
                    if (one["Node"], one["ServiceID"]) == (node["Node"], each["ID"])
                ],
            )


async def test_as_real_consul_answers(cluster: RealCluster) -> None:
    real = cluster.servers[0]
    real.wait_until(lambda: registered(real), "in the catalog with all that belongs to it")
    differing: dict[tuple[str, str], object] = {}
    async with DevCluster(agents=1, http=False) as dev:
        copied(real, dev.catalog)
        dev.dns.opt_when_cut = generation(cluster.version) == "debian"
        here = (dev.agents[0].address, dev.agents[0].dns_port)
        for name, rtype in FORMS:
            theirs, ours = await asyncio.gather(
                asyncio.to_thread(everything, at(real), name, rtype),
                asyncio.to_thread(everything, here, name, rtype),
            )
            different = {
                how: (theirs[how], ours[how]) for how in theirs if theirs[how] != ours[how]
            }
            if different:
                differing[name, rtype] = different
    assert differing.keys() == OTHERWISE[generation(cluster.version)], differing


def registered(agent: RealAgent) -> bool:
    """Agents complete the entry of their own node some time after they serve."""
    nodes = agent.http("GET", "/v1/catalog/nodes")
    return all("consul-network-segment" in n["Meta"] for n in nodes if "server" in n["Node"])


def everything(server: At, name: str, rtype: str) -> dict[str, object]:
    """What a server says over each transport; of a cut reply, only how many answers it has."""
    whole = ask(server, name, rtype, tcp=True)
    said: dict[str, object] = {"TCP": facts(whole)}
    for size in SIZES:
        reply = ask(server, name, rtype, edns=size)
        part = facts(reply)
        fewer = len(part) < len(facts(whole))
        said[f"UDP at {size}"] = (count(reply), reply.edns) if fewer else (part, reply.edns)
    return said


def count(reply: dns.message.Message) -> int:
    return sum(len(rrset) for rrset in reply.answer)
