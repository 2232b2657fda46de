"""The rules about services: how many instances there are, where, and how they are checked."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.audit.finding import SITE, Context, Rule, Spot, names
from consulfwd.audit.graph import host_of, rack_of
from consulfwd.audit.site import Service, network_of, only


def _several(context: Context) -> Iterator[Service]:
    """Yield services that are on several hosts."""
    for one in context.site.chosen():
        if len({each.node.host for each in one.healthy}) > 1:
            yield one


def _none(context: Context) -> Iterator[Spot]:
    for one in context.site.chosen():
        if not one.healthy:
            count = len(one.instances)
            have = f"none of its {count} instances is" if count > 1 else "its one instance is not"
            what = f"{one.name} is down: {have} healthy"
            yield Spot(one.name, what, "see what its checks say, or deregister it")


def _one(context: Context) -> Iterator[Spot]:
    for one in context.site.chosen():
        if len(one.healthy) == 1:
            (left,) = one.healthy
            others = len(one.instances) - 1
            of = f"the one of {others + 1} instances that is healthy" if others else "one instance"
            what = f"{one.name} falls with {left.node.name}: it has {of}"
            mend = "bring the others back" if others else "run a second instance on another host"
            yield Spot(one.name, what, mend)


def _one_node(context: Context) -> Iterator[Spot]:
    for one in context.site.chosen():
        if len(one.healthy) > 1 and host_of(one):
            nodes = names(sorted({each.node.name for each in one.healthy}))
            what = f"{one.name} falls with {nodes}: all {len(one.healthy)} instances are there"
            yield Spot(one.name, what, "move one of them to another host")


def _one_address(context: Context) -> Iterator[Spot]:
    for one in _several(context):
        if address := only(each.address for each in one.healthy):
            what = f"{one.name} falls with {address}: all its instances give that address"
            yield Spot(one.name, what, "register each instance by an address of its own")


def _one_rack(context: Context) -> Iterator[Spot]:
    for one in _several(context):
        if rack := rack_of(one, context.limits):
            what = f"{one.name} falls with the rack {rack}: all {len(one.healthy)} instances"
            yield Spot(one.name, f"{what} are in it", "run one of them in another rack")


def _site_network(context: Context) -> str:
    """Return the network all nodes are in, "" where there are several."""
    nodes = context.site.nodes
    if len(nodes) < 2:
        return ""
    return only(network_of(one.address, context.limits) for one in nodes)


def _one_subnet(context: Context) -> Iterator[Spot]:
    if network := _site_network(context):
        what = f"everything falls with {network}: all {len(context.site.nodes)} nodes are in it"
        yield Spot(SITE, what, "have a part of the nodes in another network")
        return
    for one in _several(context):
        found = only(network_of(each.node.address, context.limits) for each in one.healthy)
        if found:
            what = f"{one.name} falls with the network {found}: all its instances are in it"
            yield Spot(one.name, what, "run one of them in another network")


def _one_datacenter(context: Context) -> Iterator[Spot]:
    site = context.site
    if not site.elsewhere:
        return
    for one in site.chosen():
        if not any(one.name in names for names in site.elsewhere.values()):
            others = names(sorted(site.elsewhere))
            what = f"{one.name} falls with the datacenter {site.datacenter}: it is not in {others}"
            yield Spot(one.name, what, "run it there, too, or have a prepared query fail over")


def _no_check(context: Context) -> Iterator[Spot]:
    for one in context.site.chosen():
        if bare := [each for each in one.instances if not each.checks]:
            nodes = names(sorted({each.node.name for each in bare}))
            what = f"clients of {one.name} are sent to an instance that hangs: on {nodes}"
            yield Spot(one.name, f"{what} nothing checks it", "add a check to its registration")


def _no_thresholds(context: Context) -> Iterator[Spot]:
    found: dict[str, set[str]] = {}
    for config in context.site.configs:
        for one in config.definitions:
            if one.kind not in ("ttl", "alias") and not one.failures:
                found.setdefault(one.service, set()).add(config.node)
    for name in sorted(found.keys() & context.site.selected):
        nodes = names(sorted(found[name]))
        what = f"one lost packet takes {name} on {nodes} out: its check fails at the first failure"
        yield Spot(name, what, "set failures_before_critical to 2 or more")


def _ttl_stays(context: Context) -> Iterator[Spot]:
    found: dict[str, set[str]] = {}
    for config in context.site.configs:
        for one in config.definitions:
            if one.kind == "ttl" and not one.deregisters:
                found.setdefault(one.service, set()).add(config.node)
    for name in sorted(found.keys() & context.site.selected):
        nodes = names(sorted(found[name]))
        what = f"an instance of {name} whose program is gone for good stays in the catalog: {nodes}"
        yield Spot(name, what, "set deregister_critical_service_after")


RULES = (
    Rule(
        "none-healthy", "critical", "A service without a healthy instance",
        "Its name is not in DNS, and who needs it fails.",
        "See what its checks say (`consul catalog`, `/v1/health/service/NAME`); what is not wanted"
        " any more is to be deregistered.", _none,
    ),
    Rule(
        "one-instance", "critical", "One healthy instance",
        "The service ends with it. Where others are registered and not healthy, the next failure is"
        " the last.",
        "Run a second one on another host. What must not run twice can be held ready by"
        " `consulfwd lock`.", _one,
    ),
    Rule(
        "one-node", "critical", "All healthy instances on one node",
        "Several instances on one host end together. Two nodes of the catalog with one address are"
        " one host.",
        "Move one to another host.", _one_node,
    ),
    Rule(
        "one-address", "warning", "Instances on several nodes that give one address",
        "Clients reach all of them by one load balancer or virtual address, and none without it.",
        "Register each instance by its own address; or see that the address moves by itself, and"
        " ignore this.", _one_address,
    ),
    Rule(
        "one-rack", "warning", "All healthy instances in one rack",
        "A rack has one power supply and one switch as often as not. Racks are the nodes' metadata"
        " `rack` (`--rack-key`).",
        "Move one to another rack.", _one_rack,
    ),
    Rule(
        "one-subnet", "note", "All healthy instances in one network",
        "A network is one broadcast domain, mostly one pair of switches and one gateway: a /24, a"
        " /64 of IPv6 (`--subnet`). Where all nodes of the site are in one, that is told once.",
        "Have a part of it in another network.", _one_subnet,
    ),
    Rule(
        "one-datacenter", "note", "A service in one of several datacenters",
        "Where Consul knows several datacenters, a service that is in one of them falls with it.",
        "Run it in another one, with a prepared query that fails over.", _one_datacenter,
    ),
    Rule(
        "no-check", "warning", "An instance without a check of its own",
        "While its host is there it stays in DNS, dead or not: only the node is looked at.",
        "Add a check to the service's definition.", _no_check,
    ),
    Rule(
        "no-threshold", "note", "A check that fails at the first failure",
        "A lost packet or a slow moment takes the instance out of DNS, and the next good check"
        " brings it back: clients go to and fro. It can be seen where the definition is in the"
        " configuration of an agent that was asked.",
        "`failures_before_critical: 2` or more, and `success_before_passing: 2`.", _no_thresholds,
    ),
    Rule(
        "ttl-stays", "note", "A TTL check whose instance is never deregistered",
        "Whoever was to report has gone with its host, and the instance stays in the catalog as"
        " critical: nobody sees whether it is to come back. Seen where `no-threshold` is.",
        "`deregister_critical_service_after: 24h`, say.", _ttl_stays,
    ),
)  # fmt: skip
