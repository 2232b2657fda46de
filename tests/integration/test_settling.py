"""What we make of an agent's answer while a change settles is what it answers once it knows.

For each change the agent is asked before and after: the answer of before, corrected by what
/v1/health/service says of both, must be the answer of after. Only the metadata of nodes (TXT beside
SRV) of what came is left out, and the SOA of what is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dns.message
import pytest

from consulfwd.consul.content import instances
from consulfwd.core.settling import Instance, Settling, corrected, settling
from consulfwd.core.subjects import form_of
from consulfwd.dev.real import RealCluster
from consulfwd.dns import const
from consulfwd.dns.message import read_reply
from consulfwd.dns.names import from_text
from consulfwd.dns.wire import HEADER
from tests.integration.asking import ask, facts, rcode
from tests.integration.served import at

SERVICE = "settles"
NODES = [f"Settle-{number}" for number in range(1, 7)]
DOMAIN = from_text("consul")
TYPES = ("A", "AAAA", "SRV")
NAMES = [
    "settles.service.consul",
    "settles.service.dc1.consul",
    "settles.service.dc1.dc.consul",
    "blue.settles.service.consul",
    "light.green.settles.service.consul",
    "_settles._tcp.service.consul",
    "_settles._blue.service.consul",
]
QUESTIONS = [(name, rtype) for name in NAMES for rtype in TYPES]
QUESTIONS.append(("_settles._blue.consul", "SRV"))
Answers = dict[tuple[str, str], dns.message.Message]


class Catalog:
    """A service put into the catalog as its owner might, and what the first server says of it."""

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster

    def put(
        self, number: int, address: str, own: str = "", *, status: str = "passing", **fields: Any
    ) -> None:
        """Put the instance of a node; `fields` are those of a service, and `node` of the node."""
        node = NODES[number - 1]
        service = {"ID": f"settles-{number}", "Service": SERVICE, "Port": 80, "Address": own}
        check = {"CheckID": f"check-{number}", "Name": "check", "Status": status}
        body = {
            "Node": node,
            "Address": address,
            **fields.pop("node", {}),
            "Service": service | fields,
            "Check": check | {"ServiceID": service["ID"]},
        }
        self.cluster.http("PUT", "/v1/catalog/register", body)

    def take(self, number: int) -> None:
        """Take a node away with all that is on it, if it is there."""
        self.cluster.http("PUT", "/v1/catalog/deregister", {"Node": NODES[number - 1]})

    def maintain(self, number: int, reason: str | None) -> None:
        """Put an instance into maintenance, or (None) end that."""
        self.cluster.maintenance(NODES[number - 1], f"settles-{number}", reason)

    def healthy(self) -> frozenset[Instance]:
        """The instances as a watch would tell them."""
        return instances(self.cluster.servers[0].http("GET", f"/v1/health/service/{SERVICE}"))

    def answers(self) -> Answers:
        """What the agent says to everything."""
        server = at(self.cluster.servers[0])
        return {(name, rtype): ask(server, name, rtype, tcp=True) for name, rtype in QUESTIONS}


def correct(change: Settling, name: str, rtype: str, reply: dns.message.Message) -> list[str]:
    """What a reply says when it was corrected by a change."""
    wire = reply.to_wire()
    question = wire[12 : 12 + len(from_text(name)) + 4]
    form = form_of(from_text(name), [DOMAIN], srv=rtype == "SRV")
    assert form is not None
    message = corrected(change, form, question, read_reply(wire, question))
    counts = message.answers, message.authorities
    flags = message.flags & ~const.RCODE_MASK | message.rcode
    head = HEADER.pack(flags, 1, *counts, len(message.ends) - sum(counts))
    return told(dns.message.from_wire(b"\0\0" + head + question + message.body))


def told(reply: dns.message.Message) -> list[str]:
    """What is compared."""
    return [one for one in facts(reply, sections=("an", "ar")) if " TXT " not in one]


def changes(catalog: Catalog) -> list[tuple[str, Callable[[], object]]]:
    """What happens, one after the other."""
    put, take, maintain = catalog.put, catalog.take, catalog.maintain
    one, two = partial(put, 1, "10.9.0.1"), partial(put, 2, "10.9.0.2")
    meta: dict[str, Any] = {"NodeMeta": {"rack": "r1"}}
    dual = {"lan": "10.9.0.4", "lan_ipv4": "10.9.0.4", "lan_ipv6": "fd00:9::4"}
    also = {"lan_ipv6": {"Address": "fd00:9::66", "Port": 1}}
    heavy: dict[str, Any] = {"Port": 81, "Weights": {"Passing": 5, "Warning": 2}}
    return [
        ("the first, on its node's address", lambda: one(node=meta)),
        ("the second, with an address of its own", lambda: two("10.9.1.2")),
        ("a tag", lambda: one(node=meta, Tags=["Blue", "light.GREEN"])),
        ("the tag moves", lambda: (one(), two("10.9.1.2", Tags=["blue"]))),
        ("another port", lambda: one(Port=81)),
        ("another weight", lambda: one(**heavy)),
        ("maintenance", lambda: maintain(2, "testing")),
        ("the end of it", lambda: maintain(2, None)),
        # Farther from the other port than agents may be behind: what warns is not added where it
        # is not known whether agents show such.
        ("a warning", lambda: one(status="warning", **heavy)),
        ("no warning", lambda: one(**heavy)),
        ("the node moves", lambda: put(1, "10.9.0.11", Port=81)),
        ("its own address", lambda: put(1, "10.9.0.11", "10.9.1.1", Port=81)),
        ("the same as its node's", lambda: put(1, "10.9.0.11", "10.9.0.11", Port=81)),
        ("and not any more", lambda: put(1, "10.9.0.11", Port=81)),
        ("IPv6", lambda: put(3, "fd00:9::3", Tags=["blue"])),
        ("its own IPv6 on IPv4", lambda: put(5, "10.9.0.5", "FD00:9:0::05")),
        ("IPv4 in IPv6", lambda: put(5, "10.9.0.5", "::ffff:10.9.0.55")),
        ("both", lambda: put(4, "10.9.0.4", node={"TaggedAddresses": dual})),
        ("both, its own", lambda: put(6, "10.9.0.6", "10.9.1.6", TaggedAddresses=also)),
        ("not both any more", lambda: put(6, "10.9.0.6", "10.9.1.6", Tags=["blue"])),
        ("two at once", lambda: (take(5), two("10.9.1.22", Port=8080))),
        ("a node is gone", lambda: take(6)),
        ("and others", lambda: (take(2), take(4))),
        ("only IPv6 is left", lambda: take(1)),
        ("critical, the last one", lambda: put(3, "fd00:9::3", status="critical")),
        ("and back", lambda: put(3, "fd00:9::3")),
        ("nothing is left", lambda: take(3)),
        ("one that is new", lambda: two("10.9.1.2", Tags=["blue"])),
    ]


@pytest.fixture
def catalog(cluster: RealCluster) -> Iterator[Catalog]:
    """An empty service."""
    catalog = Catalog(cluster)
    yield catalog
    for number in range(1, len(NODES) + 1):
        catalog.take(number)
    cluster.settle()


def test_an_old_answer_corrected_is_the_new_one(catalog: Catalog) -> None:
    healthy, answers = catalog.healthy(), catalog.answers()
    assert not healthy
    before: list[tuple[str, Answers, Settling | None]] = []
    for label, change in changes(catalog):
        change()
        catalog.cluster.settle()
        was, healthy = healthy, catalog.healthy()
        assert healthy != was, label
        # Agents may be three changes behind; the last change settles as well.
        before = [
            (since, old, settling(state, was, healthy, 0.0)) for since, old, state in before[-2:]
        ]
        before.append((label, answers, settling(None, was, healthy, 0.0)))
        answers = catalog.answers()
        for since, old, state in before:
            assert state is not None
            for (name, rtype), new in answers.items():
                where = f"{label}, since before {since}: {name} {rtype}"
                found = correct(state, name, rtype, old[name, rtype])
                if name.endswith(".dc.consul") and found == ["NXDOMAIN"]:
                    # It need not know this form at all.
                    assert rcode(old[name, rtype]) == "NXDOMAIN" or not healthy, where
                    continue
                assert found == told(new), where
                # An agent that knows already is not corrected at all.
                assert correct(state, name, rtype, new) == told(new), where


NAMED = [
    ("My.Node", "10.9.2.1"),
    ("my node", "10.9.2.2"),
    ("under_scored", "10.9.2.3"),
    ("back\\slash", "10.9.2.4"),
]


@pytest.mark.parametrize(("node", "address"), NAMED, ids=[node for node, _ in NAMED])
def test_names_of_nodes(catalog: Catalog, node: str, address: str) -> None:
    same(catalog, node, {"Node": node, "Address": address}, {})


@pytest.mark.parametrize(
    "address", ["db.example.test", "fe80::1%eth0", "1.2.3", "settles.service.consul"]
)
def test_what_has_no_address_is_left_alone(catalog: Catalog, address: str) -> None:
    """Consul answers with an alias, or with the node's address: that is for it to say."""
    catalog.put(1, "10.9.0.1")
    catalog.put(2, "10.9.0.2", address, Port=81)
    catalog.cluster.settle()
    healthy, answers = catalog.healthy(), catalog.answers()
    for taken in (1, 2):
        catalog.take(taken)
        catalog.cluster.settle()
        change = settling(None, healthy, catalog.healthy(), 0.0)
        for (name, rtype), old in answers.items():
            found = correct(change, name, rtype, old)
            if taken == 1 and rtype != "SRV":
                assert found == told(old), (name, rtype)
            # Nothing is invented.
            assert set(found[1:]) <= set(told(old)[1:])
        catalog.put(1, "10.9.0.1")


def same(catalog: Catalog, label: str, node: dict[str, Any], service: dict[str, Any]) -> None:
    """Put one instance beside another and take it away again: both are seen as Consul does."""
    catalog.put(1, "10.9.0.1")
    catalog.cluster.settle()
    try:
        healthy, answers = catalog.healthy(), catalog.answers()
        catalog.put(2, "", node=node, **service)
        catalog.cluster.settle()
        now, new = catalog.healthy(), catalog.answers()
        assert len(now) == 2
        for (name, rtype), old in answers.items():
            if rcode(old) == "NXDOMAIN" and name.endswith(".dc.consul"):
                continue
            come, gone = settling(None, healthy, now, 0.0), settling(None, now, healthy, 0.0)
            assert correct(come, name, rtype, old) == told(new[name, rtype]), (label, name, rtype)
            assert correct(gone, name, rtype, new[name, rtype]) == told(old), (label, name, rtype)
    finally:
        catalog.cluster.http("PUT", "/v1/catalog/deregister", {"Node": node["Node"]})


@pytest.mark.parametrize("port", [0, 65535, -5, 70000])
def test_any_port(catalog: Catalog, port: int) -> None:
    same(catalog, str(port), {"Node": NODES[1], "Address": "10.9.0.2"}, {"Port": port})


@pytest.mark.parametrize("status", ["passing", "warning", "strange"])
@pytest.mark.parametrize("weights", [(1, 1), (5, 7), (3, 0), (65535, 1)])
def test_any_weight(catalog: Catalog, status: str, weights: tuple[int, int]) -> None:
    """An instance that has left is known by its record, whatever weight that has."""
    catalog.put(1, "10.9.0.1")
    given = {"Passing": weights[0], "Warning": weights[1]}
    catalog.put(2, "10.9.0.2", status=status, Weights=given)
    catalog.cluster.settle()
    was, old = catalog.healthy(), catalog.answers()
    reply = old["settles.service.consul", "SRV"]
    shown = {one.weight for one in was}
    assert shown == {record.weight for rrset in reply.answer for record in rrset}
    catalog.take(2)
    catalog.cluster.settle()
    change = settling(None, was, catalog.healthy(), 0.0)
    new = catalog.answers()["settles.service.consul", "SRV"]
    assert correct(change, "settles.service.consul", "SRV", reply) == told(new)
    assert rcode(new) == "NOERROR"
