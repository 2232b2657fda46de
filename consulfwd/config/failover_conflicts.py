"""What must hold between names that move with health and all that is answered otherwise.

Such a name is answered here alone, as a zone of its own, so it must not be one that others know
more of. Pure. What holds within a record is in `failover_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from consulfwd.config.failover import FailoverSettings
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.sections import ConsulSettings
from consulfwd.config.zones import ZoneSettings

# Names that are answered here already, or by whoever has the reverse zone (RFC 6761, RFC 7686).
_TAKEN = {
    "localhost": "is this host (RFC 6761)",
    "invalid": "never exists (RFC 6761)",
    "onion": "is not in the DNS (RFC 7686)",
    "resolver.arpa": "is for resolvers to be found (RFC 9462)",
    "in-addr.arpa": "has the names of addresses, and no addresses",
    "ip6.arpa": "has the names of addresses, and no addresses",
}
_STATE = "_failover."


def conflicts(
    failover: dict[str, FailoverSettings],
    consul: ConsulSettings,
    forward: Iterable[str],
    zones: Sequence[ZoneSettings],
) -> Iterator[Objection]:
    """Yield what keeps names from being answered from health."""
    domains: dict[str, KeyPath] = {consul.domain: ("consul", "domain")}
    for at, domain in enumerate(consul.alt_domains):
        domains.setdefault(domain, ("consul", "alt_domains", at))
    forwarded = set(forward)
    origins: dict[str, KeyPath] = {}
    for at, zone in enumerate(zones):
        origins.setdefault(zone.origin, ("zones", at, "origin"))
    for name in failover:
        path: KeyPath = ("failover", name)
        own = next((one for one in _and_above(name) if one in domains), None)
        taken = next((one for one in _and_above(name) if one in _TAKEN), None)
        if own is not None:
            what = f"{name} belongs to the Consul domain {own}"
            mend = "Consul alone answers its names: take another name"
            yield Objection(path, what, mend, (domains[own],))
        elif taken is not None:
            yield Objection(path, f"{taken} {_TAKEN[taken]}", "take another name")
        elif name.startswith(_STATE):
            mend = f"take another name: {_STATE}NAME has the state of NAME"
            yield Objection(path, f"{name} is for texts about {name.removeprefix(_STATE)}", mend)
        elif name in forwarded:
            what = f"{name} is a conditional zone, which has more than addresses"
            mend = "name one below it, such as www"
            yield Objection(path, what, mend, (("forward", name),))
        elif name in origins:
            what = f"{name} is the origin of a zone, which has more than addresses"
            yield Objection(path, what, "name one below it, such as www", (origins[name],))


def _and_above(name: str) -> Iterator[str]:
    """Yield a name and all those it is below of."""
    while name:
        yield name
        name = name.partition(".")[2]
