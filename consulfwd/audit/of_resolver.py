"""The rules about consulfwd's own settings: whom it asks, how long answers hold, where zones go."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from consulfwd.audit.finding import Context, Rule, Spot, names
from consulfwd.audit.site import AskedAgent, network_of, only


def _lists(context: Context) -> Iterator[tuple[str, list[AskedAgent]]]:
    """Yield each list of agents, by the key that holds it."""
    found: dict[str, list[AskedAgent]] = {}
    for one in context.site.resolver.agents:
        found.setdefault(one.datacenter, []).append(one)
    for name in sorted(found):
        yield (f"consul.datacenters.{name}" if name else "consul.agents"), found[name]


def _one_agent(context: Context) -> Iterator[Spot]:
    catalogs = context.site.resolver.catalogs
    for key, agents in _lists(context):
        if len(agents) == 1 and agents[0].datacenter not in catalogs:
            what = f"this host knows no name of Consul's without {agents[0].name}: its only agent"
            yield Spot(key, what, "name all servers, or write {from_catalog: true, seeds: [...]}")


def _one_seed(context: Context) -> Iterator[Spot]:
    catalogs = context.site.resolver.catalogs
    for key, agents in _lists(context):
        if len(agents) == 1 and agents[0].datacenter in catalogs:
            what = f"consulfwd that starts while {agents[0].name} is away finds no other agent"
            yield Spot(key, what, "name a second one among the seeds")


def _agents_one_node(context: Context) -> Iterator[Spot]:
    hosts = {one.name: one.address for one in context.site.nodes}
    for key, agents in _lists(context):
        if len(agents) < 2 or agents[0].datacenter in context.site.resolver.catalogs:
            continue
        if host := only(hosts.get(one.node, one.address) for one in agents):
            node = only(one.node for one in agents) or host
            what = f"this host knows no name of Consul's without {node}: all its agents are there"
            yield Spot(key, what, "name agents of several hosts")


def _agents_one_subnet(context: Context) -> Iterator[Spot]:
    hosts = {one.name: one.address for one in context.site.nodes}
    everyone = {network_of(one.address, context.limits) for one in context.site.nodes}
    for key, agents in _lists(context):
        places = [hosts.get(one.node, one.address) for one in agents]
        found = only(network_of(one, context.limits) for one in places)
        if found and len(set(places)) > 1 and len(everyone) > 1:
            what = f"this host knows no name of Consul's without {found}: all its agents are in it"
            yield Spot(key, what, "name agents of several networks")


def _silent(context: Context) -> Iterator[Spot]:
    for one in context.site.resolver.agents:
        if one.silent:
            what = f"consulfwd has one agent less than its settings say: {one.name}: {one.silent}"
            yield Spot(one.name, what, "bring it back, or take it out of the settings")


def _one_recursor(context: Context) -> Iterator[Spot]:
    if len(set(context.site.resolver.recursors)) == 1:
        (one,) = set(context.site.resolver.recursors)
        what = f"names outside Consul fall with {one}: it is the only recursor"
        yield Spot("recursors", what, "name a second one, in another network")


def _recursors_one_network(context: Context) -> Iterator[Spot]:
    recursors = sorted(set(context.site.resolver.recursors))
    found = only(network_of(one, context.limits) for one in recursors)
    if len(recursors) > 1 and found:
        what = f"names outside Consul fall with {found}: all recursors are in it"
        yield Spot("recursors", what, "name one in another network")


def _no_stale(context: Context) -> Iterator[Spot]:
    if not context.site.resolver.stale_for:
        what = "while no agent or recursor answers every name fails: nothing stale is kept"
        yield Spot("cache.stale_for", what, "leave cache.stale_for at its default, a day")


def _holds(context: Context, pattern: str = "*") -> float:
    """Return how long an answer may be kept: as long as the slowest check takes."""
    slowest = context.limits.service_ttl
    for one in context.site.chosen():
        # Consul takes names, and beginnings with a star.
        if fnmatchcase(one.name, pattern):
            slowest = max([slowest, *(each for inst in one.instances for each in inst.intervals)])
    return slowest


def _service_ttl(context: Context) -> Iterator[Spot]:
    found: dict[tuple[str, float], set[str]] = {}
    for config in context.site.configs:
        for pattern, ttl in config.service_ttls.items():
            found.setdefault((pattern, ttl), set()).add(config.node)
    for pattern, ttl in sorted(found):
        if ttl > (limit := _holds(context, pattern)):
            nodes = names(sorted(found[pattern, ttl]))
            what = (
                f"clients go to a dead instance for {ttl:g} s more, where checks take {limit:g} s:"
                f" service_ttl of {pattern} on {nodes}"
            )
            yield Spot(f"service_ttl {pattern}", what, f"set it to {limit:g}s or less, or 0s")


def _min_ttl(context: Context) -> Iterator[Spot]:
    if (ttl := context.site.resolver.min_ttl) > (limit := _holds(context)):
        what = f"answers of this host name a dead instance for {ttl:g} s more"
        yield Spot("cache.min_ttl", what, f"set cache.min_ttl to {limit:g} or less, or 0")


def _zone_ttl(context: Context) -> Iterator[Spot]:
    for one in context.site.resolver.zones:
        if one.ttl > (limit := context.limits.zone_ttl):
            what = f"resolvers of the site give a dead instance of {one.name} for {one.ttl} s"
            yield Spot(one.name, what, f"set its ttl to {limit:g} or less")


def _one_publisher(context: Context) -> Iterator[Spot]:
    for one in context.site.resolver.zones:
        if not one.locked and one.targets:
            what = f"{one.name} stays as it is once this host is away: no other one may publish it"
            yield Spot(one.name, what, "set lock.enabled, and run zone watch on a second host")


def _one_server(context: Context) -> Iterator[Spot]:
    for one in context.site.resolver.zones:
        for target in one.targets:
            if target.servers == 1:
                what = f"{one.name} gets no change while its one server is away: {target.name}"
                yield Spot(f"{one.name} {target.name}", what, "name a second server")


RULES = (
    Rule(
        "one-agent", "critical", "consulfwd asks one agent",
        "Failover needs somebody to fail over to.",
        "All servers in `consul.agents`, or `from_catalog: true`.", _one_agent,
    ),
    Rule(
        "one-seed", "note", "consulfwd begins with one agent",
        "With `from_catalog` the others are found by asking it: a host that starts while it is away"
        " finds nobody.",
        "A second seed.", _one_seed,
    ),
    Rule(
        "agents-one-node", "critical", "All agents of consulfwd on one node",
        "Two addresses, or two ports, of one host are one agent as far as failures go.",
        "Agents of several hosts.", _agents_one_node,
    ),
    Rule(
        "agents-one-subnet", "note", "All agents of consulfwd in one network",
        "The site has others.",
        "An agent in another one.", _agents_one_subnet,
    ),
    Rule(
        "agent-silent", "warning", "An agent in the settings that does not answer over HTTP",
        "It may answer DNS; what it knows and how old that is nobody can tell.",
        "Bring it back, let its HTTP be asked, or take it out.", _silent,
    ),
    Rule(
        "one-recursor", "warning", "One recursor",
        "Every name outside Consul falls with it.",
        "A second one, in another network.", _one_recursor,
    ),
    Rule(
        "recursors-one-network", "note", "All recursors in one network",
        "They fall with it together.",
        "One in another network.", _recursors_one_network,
    ),
    Rule(
        "no-stale", "note", "Nothing stale is served",
        "With `cache.stale_for: 0` a name that was known a second ago fails as soon as nobody"
        " answers (RFC 8767).",
        "The default.", _no_stale,
    ),
    Rule(
        "service-ttl", "warning", "Consul's answers outlive a failover",
        "`dns_config.service_ttl` longer than the slowest check's interval (10 s where that is not"
        " known): most of the time that a dead instance is asked is then the TTL's doing.",
        "`service_ttl` no longer than checks take; consulfwd keeps answers by watches as it is.",
        _service_ttl,
    ),
    Rule(
        "min-ttl", "warning", "consulfwd's answers outlive a failover",
        "`cache.min_ttl` longer than the same.",
        "`cache.min_ttl: 0`.", _min_ttl,
    ),
    Rule(
        "zone-ttl", "warning", "A zone's records outlive a failover",
        "The site's resolvers keep them for their TTL, whatever consulfwd publishes meanwhile.",
        "A `ttl` of 60 or less.", _zone_ttl,
    ),
    Rule(
        "one-publisher", "warning", "A zone with one publisher",
        "Without the lock only one host may publish it: it stays as it is while that is away."
        " How many run where there is a lock the settings do not say.",
        "`lock.enabled: true`, and `consulfwd zone watch` on a second host.", _one_publisher,
    ),
    Rule(
        "one-target-server", "warning", "A zone that goes to one server",
        "Nothing new gets into the zone while it is away. A zone that is served to one secondary"
        " is one, too; of a file's server the settings do not say how many there are.",
        "A second one: they are tried in order.", _one_server,
    ),
)  # fmt: skip
