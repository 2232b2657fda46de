"""The rules about Consul itself: its servers, what they agree on, what goes in clear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from consulfwd.audit.finding import SITE, Context, Rule, Spot, names
from consulfwd.audit.site import AgentConfig, Server, network_of, only


def _no_leader(context: Context) -> Iterator[Spot]:
    if context.site.leader == "":
        what = "nothing can be written, no session be renewed, no health change: there is no leader"
        yield Spot(SITE, what, "bring back servers until more than half of them are there")


def _few(context: Context) -> Iterator[Spot]:
    count = len(context.voters)
    if context.site.servers is not None and 0 < count < 3:
        have = names(one.name for one in context.voters)
        word = "the server" if count == 1 else "either of the two servers"
        what = f"Consul stops with {word} ({have}): more than half must be left"
        yield Spot(SITE, what, "run three servers, or five")


def _even(context: Context) -> Iterator[Spot]:
    count = len(context.voters)
    if count >= 4 and count % 2 == 0:
        spare = (count - 1) // 2
        what = f"Consul stops without {spare + 1} of {count} servers, as it would with {count - 1}"
        yield Spot(SITE, what, f"run {count - 1} servers, or {count + 1}")


def _away(context: Context) -> Iterator[Spot]:
    voters = context.voters
    away = [one for one in voters if one.alive is False]
    left = max((len(voters) - 1) // 2 - len(away), 0)
    for one in away:
        what = f"{one.name} does not answer the others: without {left + 1} more Consul stops"
        yield Spot(one.name, what, "bring it back, or take it out (`consul operator raft`)")


def _lag(context: Context) -> Iterator[Spot]:
    limits, servers = context.limits, context.site.servers or ()
    # What the leader has, by whoever is furthest.
    newest = max((one.last_index or 0 for one in servers), default=0)
    for one in servers:
        if one.alive is False:
            continue
        behind = newest - one.last_index if one.last_index is not None else 0
        if (one.last_contact or 0.0) > limits.last_contact:
            how = f"it last heard of the leader {one.last_contact:.1f} s ago"
        elif behind > limits.trailing_logs:
            how = f"it is {behind} entries behind"
        elif one.healthy is False:
            how = "the leader takes it for unhealthy"
        else:
            continue
        what = f"{one.name} tells what was, and may not take over: {how}"
        yield Spot(one.name, what, "look at its load, its disk, and the network to the others")


def _hosts(context: Context) -> dict[str, str]:
    """Return the rack of each server by its address, "" where it is not known."""
    key = context.limits.rack_key
    return {one.address: one.meta.get(key, "") for one in context.site.nodes}


def _majority(context: Context, place: dict[str, str]) -> list[tuple[str, list[Server]]]:
    """Return the places without which fewer than a majority of servers is left."""
    voters = context.voters
    if len(voters) < 3:
        return []
    counts = Counter(place[one.name] for one in voters if place.get(one.name))
    most = (len(voters) - 1) // 2
    return [
        (where, [one for one in voters if place.get(one.name) == where])
        for where in sorted(counts)
        if counts[where] > most
    ]


def _one_node(context: Context) -> Iterator[Spot]:
    for host, found in _majority(context, {one.name: one.address for one in context.voters}):
        what = f"Consul stops with {host}: the servers {names(one.name for one in found)} are there"
        yield Spot(host, what, "run each server on a host of its own")


def _one_rack(context: Context) -> Iterator[Spot]:
    racks = _hosts(context)
    places = {one.name: racks.get(one.address, "") for one in context.voters}
    for rack, found in _majority(context, places):
        have = f"{len(found)} of {len(context.voters)} servers are in it"
        what = f"Consul stops with the rack {rack}: {have}"
        yield Spot(rack, what, "have each server in another rack")


def _one_subnet(context: Context) -> Iterator[Spot]:
    if len(context.voters) < 3:
        return
    found = only(network_of(one.address, context.limits) for one in context.voters)
    # Where all nodes are in one network, that is told for the site.
    everyone = only(network_of(one.address, context.limits) for one in context.site.nodes)
    if found and not everyone:
        what = f"Consul stops with the network {found}: all servers are in it"
        yield Spot(found, what, "have the servers in several networks")


def _nodes(configs: list[AgentConfig]) -> str:
    return names(sorted({one.node for one in configs}))


def _gossip(context: Context) -> Iterator[Spot]:
    if bad := [one for one in context.site.configs if one.gossip_encrypted is False]:
        what = "whoever is on the network may join, and fail nodes: gossip is not encrypted"
        yield Spot(SITE, f"{what} ({_nodes(bad)})", "set `encrypt` on every agent")


def _http(context: Context) -> Iterator[Spot]:
    for one in context.site.configs:
        if one.clear_http:
            what = f"tokens sent to {one.node} can be read on the way: plain HTTP on"
            mend = "listen on loopback alone (`addresses.http`), and on `ports.https` for others"
            yield Spot(one.node, f"{what} {names(one.clear_http)}", mend)


def _rpc(context: Context) -> Iterator[Spot]:
    if bad := [one for one in context.site.configs if one.rpc_encrypted is False]:
        what = "tokens and all data between agents can be read on the way: RPC is not kept to TLS"
        mend = "set verify_outgoing, and verify_incoming on servers (`tls.internal_rpc`)"
        yield Spot(SITE, f"{what} ({_nodes(bad)})", mend)


def _acl_off(context: Context) -> Iterator[Spot]:
    if bad := [one for one in context.site.configs if one.acl == "off"]:
        what = "whoever reaches an agent may deregister every service: ACLs are off"
        yield Spot(SITE, f"{what} ({_nodes(bad)})", "set acl.enabled, with default_policy deny")


def _acl_allow(context: Context) -> Iterator[Spot]:
    if bad := [one for one in context.site.configs if one.acl == "allow"]:
        what = "whoever has no token may do what is not forbidden: the default policy is allow"
        yield Spot(SITE, f"{what} ({_nodes(bad)})", "set acl.default_policy to deny")


RULES = (
    Rule(
        "no-leader", "critical", "Consul has no leader",
        "Nothing changes any more: no registration, no health, no lock. Names are answered from"
        " what the agents know.",
        "Bring back servers until more than half are there.", _no_leader,
    ),
    Rule(
        "few-servers", "critical", "Fewer than three servers",
        "More than half of the servers must be there. Of one or two none may be missing.",
        "Three servers, or five where two may be missing.", _few,
    ),
    Rule(
        "even-servers", "warning", "An even number of servers",
        "The fourth server carries no load and may not be missing: four stand the loss of one, as"
        " three do, and a cut into halves leaves no leader.",
        "One more, or one less.", _even,
    ),
    Rule(
        "server-away", "critical", "A server that the others do not reach",
        "What may still be lost is less than it looks like.",
        "Bring it back. One that is gone for good is to be taken out of Raft.", _away,
    ),
    Rule(
        "server-lags", "warning", "A follower that is behind the leader",
        "Agents answer stale from any server: it gives away what has gone. By Consul's own limits"
        " (autopilot): 200 ms, 250 entries.",
        "Look at its disk, its load and the network between the servers.", _lag,
    ),
    Rule(
        "servers-one-node", "critical", "Most servers on one host",
        "Consul stops with that host.", "Each server on a host of its own.", _one_node,
    ),
    Rule(
        "servers-one-rack", "warning", "Most servers in one rack",
        "Consul stops with that rack, and with it everything that is to be found by it.",
        "Each server in another rack, or three places for three servers.", _one_rack,
    ),
    Rule(
        "servers-one-subnet", "note", "All servers in one network",
        "Consul stops with that network, though other nodes are in others.",
        "Servers in several networks.", _one_subnet,
    ),
    Rule(
        "gossip-clear", "warning", "Gossip is not encrypted",
        "Whoever is on the network joins as an agent, and tells others that nodes have failed.",
        "`encrypt` with a key of `consul keygen`, on every agent.", _gossip,
    ),
    Rule(
        "http-clear", "warning", "Consul's HTTP off the host without TLS",
        "Tokens go over the wire as they are. HTTP on loopback alone is no finding.",
        "`addresses.http: 127.0.0.1`, and `ports.https` for others.", _http,
    ),
    Rule(
        "rpc-clear", "warning", "RPC between agents is not kept to TLS",
        "Tokens and the whole catalog go between agents and servers as they are.",
        "`verify_outgoing` everywhere, `verify_incoming` on servers.", _rpc,
    ),
    Rule(
        "acl-off", "warning", "ACLs are off",
        "Whoever reaches an agent may register and deregister anything.",
        "`acl.enabled` with `default_policy: deny`.", _acl_off,
    ),
    Rule(
        "acl-allow", "warning", "The ACLs' default is to allow",
        "What nobody thought of is allowed to everybody, without a token.",
        "`acl.default_policy: deny`.", _acl_allow,
    ),
)  # fmt: skip
