"""From what Consul replies to what the rules look at.

What belongs here: the forms of Consul's replies, read with doubt: strangers wrote the names,
metadata and addresses in them. Must not know: how they are asked for. Pure. Raises ValueError for a
reply that is not of Consul's form; what is odd in one registration costs that one and no other.

https://developer.hashicorp.com/consul/api-docs (agent, catalog, health, operator, status)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from consulfwd.audit.site import AgentConfig, Definition, Instance, Need, Node, Server, Service
from consulfwd.consul.health import Entry, entries
from consulfwd.consul.servers import host_address
from consulfwd.consul.strict import listed, mapping

# Longer names are nobody's: Consul's own limits for DNS are at 63 for each part.
MOST_NAME = 512
# So many services one may say that it needs.
MOST_NEEDS = 100
DEPENDS_ON = "depends-on"
_NAME = re.compile(r"[A-Za-z0-9._~-]{1,255}")
_PART = re.compile(r"([0-9.]+)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PROXIES = frozenset(
    {"connect-proxy", "mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"}
)


def seconds(thing: object) -> float | None:
    """Return a time as Go writes it ("1h30m0s"), None for what is none."""
    if not isinstance(thing, str) or len(thing) > 40:
        return None
    parts = _PART.findall(thing)
    if not parts or "".join(number + unit for number, unit in parts) != thing:
        return None
    try:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    except ValueError:
        return None


def text(thing: object) -> str:
    """Return a text that is of a sane length; "" for anything else."""
    return thing if isinstance(thing, str) and len(thing) <= MOST_NAME else ""


def service_names(parsed: object) -> list[str]:
    """Return the names in /v1/catalog/services, sorted."""
    return sorted(name for name in mapping(parsed or {}, "the list of services") if text(name))


def nodes(parsed: object) -> list[Node]:
    """Return the nodes in /v1/catalog/nodes, by name."""
    found = (_node(mapping(one, "a node")) for one in listed(parsed, "the nodes"))
    return sorted((one for one in found if one.name), key=lambda one: (one.name, one.address))


def _node(fields: Mapping[str, Any]) -> Node:
    meta = fields.get("Meta")
    pairs = meta if isinstance(meta, dict) else {}
    kept = {name: value for name, value in pairs.items() if text(name) and text(value)}
    return Node(text(fields.get("Node")), text(fields.get("Address")), kept)


def service(name: str, parsed: object) -> tuple[Service, list[str], bool]:
    """Return a service by its reply of /v1/health/service, what it needs, and whether that is odd.

    That is in the metadata of its instances: `depends-on`, names with commas between.
    """
    found, needs, odd, proxies = [], [], False, 0
    for entry in entries(parsed):
        instance = _instance(entry)
        if not instance.node.name:
            continue
        found.append(instance)
        proxies += entry.service.get("Kind") in _PROXIES
        meta = entry.service.get("Meta")
        said = meta.get(DEPENDS_ON) if isinstance(meta, dict) else None
        if isinstance(said, str):
            names = [one.strip() for one in said[: MOST_NEEDS * 256].split(",")]
            good = [one for one in names if _NAME.fullmatch(one)]
            odd = odd or len(good) != sum(1 for one in names if one)
            needs += good
    found.sort(key=lambda one: (one.node.name, one.id))
    unique = sorted(set(needs))
    odd = odd or len(unique) > MOST_NEEDS
    return Service(name, tuple(found), bool(found) and proxies == len(found)), unique[
        :MOST_NEEDS
    ], odd


def _instance(entry: Entry) -> Instance:
    node = _node(entry.node)
    own = [one for one in entry.checks if one.get("ServiceID")]
    intervals = (seconds(one.get("Interval")) for one in own)
    port = entry.service.get("Port")
    return Instance(
        id=text(entry.service.get("ID")),
        node=node,
        address=text(entry.own_address) or node.address,
        port=port if isinstance(port, int) else 0,
        healthy=all(one in ("passing", "warning") for one in entry.statuses),
        checks=len(own),
        intervals=tuple(one for one in intervals if one),
    )


def intentions(parsed: object) -> Iterator[Need]:
    """Yield who is allowed to ask whom, by /v1/connect/intentions: of single names, no patterns."""
    for thing in listed(parsed, "the intentions"):
        one = mapping(thing, "an intention")
        source, target = text(one.get("SourceName")), text(one.get("DestinationName"))
        rights = one.get("Permissions")
        allowed = one.get("Action") == "allow" or (
            isinstance(rights, list)
            and any(isinstance(each, dict) and each.get("Action") == "allow" for each in rights)
        )
        if allowed and source and target and "*" not in (source, target):
            yield Need(source, target, "intention")


def servers(raft: object, health: object) -> tuple[Server, ...]:
    """Return the servers by /v1/operator/raft/configuration, and the autopilot's view of them."""
    known: dict[str, Mapping[str, Any]] = {}
    for thing in listed(mapping(health or {}, "autopilot").get("Servers"), "Servers"):
        one = mapping(thing, "a server")
        known[text(one.get("ID"))] = one
    found = []
    for thing in listed(mapping(raft, "Raft").get("Servers"), "Servers"):
        one = mapping(thing, "a server")
        said = known.get(text(one.get("ID")), {})
        address = text(one.get("Address"))
        status, index = said.get("SerfStatus"), said.get("LastIndex")
        healthy = said.get("Healthy")
        found.append(
            Server(
                name=text(one.get("Node")) or address,
                address=host_of(address),
                voter=one.get("Voter") is True,
                leader=one.get("Leader") is True,
                alive=None if not isinstance(status, str) else status == "alive",
                healthy=healthy if isinstance(healthy, bool) else None,
                last_contact=seconds(said.get("LastContact")),
                last_index=index if isinstance(index, int) and index else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.name, one.address)))


def peers(parsed: object) -> tuple[Server, ...]:
    """Return the servers by /v1/status/peers, which takes no token and tells addresses alone."""
    found = sorted({text(one) for one in listed(parsed, "the peers")} - {""})
    return tuple(Server(one, host_of(one)) for one in found)


def host_of(address: str) -> str:
    """Return the host of ADDRESS:PORT."""
    return address.rpartition(":")[0].strip("[]")


def agent_config(parsed: object) -> AgentConfig:
    """Return what /v1/agent/self says; what a version does not tell is None."""
    reply = mapping(parsed, "the agent")
    config = mapping(reply.get("Config"), "Config")
    debug = reply.get("DebugConfig")
    debug = debug if isinstance(debug, dict) else {}
    stats = reply.get("Stats")
    lan = stats.get("serf_lan") if isinstance(stats, dict) else None
    told = lan.get("encrypted") if isinstance(lan, dict) else None
    server = config.get("Server") is True
    ttls = debug.get("DNSServiceTTL")
    pairs = ttls.items() if isinstance(ttls, dict) else ()
    return AgentConfig(
        node=text(config.get("NodeName")),
        server=server,
        datacenter=text(config.get("Datacenter")),
        gossip_encrypted=None if told not in ("true", "false") else told == "true",
        acl=_acl(debug),
        clear_http=_clear(debug),
        rpc_encrypted=_rpc(debug, server),
        service_ttls={name: ttl for name, said in pairs if (ttl := seconds(said)) is not None},
        definitions=tuple(_definitions(debug)),
    )


def _acl(debug: Mapping[str, Any]) -> str | None:
    # From 1.9 on it is in a part of its own.
    resolver = debug.get("ACLResolverSettings")
    policy = (resolver if isinstance(resolver, dict) else debug).get("ACLDefaultPolicy")
    if debug.get("ACLsEnabled") is False:
        return "off"
    return policy if policy in ("allow", "deny") and debug.get("ACLsEnabled") is True else None


def _clear(debug: Mapping[str, Any]) -> tuple[str, ...] | None:
    addresses = debug.get("HTTPAddrs")
    if not isinstance(addresses, list):
        return None
    found = []
    for one in addresses:
        kind, _, place = text(one).partition("://")
        host = host_of(place)
        # Of addresses on the host nothing leaves it; a unix socket is one.
        address = host_address(host)
        if kind == "tcp" and not (address is not None and address.is_loopback):
            found.append(place)
    return tuple(sorted(found))


def _rpc(debug: Mapping[str, Any], server: bool) -> bool | None:
    # From 1.12 on each protocol has its own part.
    parts = debug.get("TLS")
    internal = parts.get("InternalRPC") if isinstance(parts, dict) else None
    told = internal if isinstance(internal, dict) else debug
    outgoing = told.get("VerifyOutgoing")
    incoming = told.get("VerifyIncoming") is True or told.get("VerifyIncomingRPC") is True
    if not isinstance(outgoing, bool):
        return None
    return outgoing and (incoming or not server)


def _definitions(debug: Mapping[str, Any]) -> Iterator[Definition]:
    services = debug.get("Services")
    names: dict[str, str] = {}
    for thing in services if isinstance(services, list) else ():
        if not isinstance(thing, dict):
            continue
        name = text(thing.get("Name"))
        names[text(thing.get("ID")) or name] = name
        for one in [thing.get("Check"), *_list(thing.get("Checks"))]:
            if isinstance(one, dict) and (found := _definition(name, one)) is not None:
                yield found
    for one in _list(debug.get("Checks")):
        if isinstance(one, dict) and (name := names.get(text(one.get("ServiceID")), "")):
            found = _definition(name, one)
            if found is not None:
                yield found


def _definition(name: str, one: Mapping[str, Any]) -> Definition | None:
    if not name:
        return None
    ttl, interval = seconds(one.get("TTL")) or 0.0, seconds(one.get("Interval")) or 0.0
    alias = text(one.get("AliasNode")) or text(one.get("AliasService"))
    kind = "ttl" if ttl else "alias" if alias else "interval" if interval else ""
    if not kind:
        # The one that is there where none was written.
        return None
    failures, successes = one.get("FailuresBeforeCritical"), one.get("SuccessBeforePassing")
    return Definition(
        service=name,
        kind=kind,
        failures=failures if isinstance(failures, int) else 0,
        successes=successes if isinstance(successes, int) else 0,
        interval=interval,
        deregisters=bool(seconds(one.get("DeregisterCriticalServiceAfter"))),
    )


def _list(thing: object) -> list[Any]:
    return thing if isinstance(thing, list) else []
