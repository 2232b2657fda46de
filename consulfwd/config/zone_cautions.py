"""What zones may say but hardly mean, worth a warning.

Each objection names the key at fault by its path from the root of the settings. Pure: no file is
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.zone_conflicts import is_below
from consulfwd.config.zones import ZoneSettings


def cautions(
    zones: Sequence[ZoneSettings], domains: Sequence[str] = ()
) -> Iterator[Objection]:
    """Yield what is allowed in zones but hardly meant; `domains` are those of Consul itself."""
    for number, zone in enumerate(zones):
        path: KeyPath = ("zones", number)
        yield from _around(path, zone, zones, domains)
        yield from _hardly_meant(path, zone)
        for at, name in enumerate(zone.ns):
            if is_below(name, zone.origin):
                yield Objection(
                    (*path, "ns", at),
                    f"{name} is in the zone itself, which has an address for it only if a service"
                    " is called so",
                    "name the servers by names of another zone",
                )
        for at, target in enumerate(zone.targets):
            rfc2136 = target.rfc2136
            if rfc2136 is not None and rfc2136.key_file is None:
                yield Objection(
                    (*path, "targets", at, "rfc2136"),
                    "updates go unsigned: who may send from this address may change the zone",
                    "add key_file",
                )
            if target.primary is not None and target.primary.unsigned:
                yield Objection(
                    (*path, "targets", at, "primary", "unsigned"),
                    "whoever asks from an address in `allow` gets the whole zone",
                    "add key_file, and take unsigned out",
                )
        if not zone.lock.enabled and zone.targets:
            yield Objection(
                (*path, "lock", "enabled"),
                "nothing keeps a second publisher from writing the same zone",
                "take it out, unless there is one host alone that publishes",
            )


def _around(
    path: KeyPath, zone: ZoneSettings, zones: Sequence[ZoneSettings], domains: Sequence[str]
) -> Iterator[Objection]:
    """Yield what a zone is inside of."""
    for domain in domains:
        if zone.origin == domain or is_below(zone.origin, domain):
            yield Objection(
                (*path, "origin"),
                f"{zone.origin} is among Consul's own names ({domain}), which forwarders ask Consul"
                " for: hosts with one see other records than hosts without",
                "choose a name of the site's, such as svc.example.com",
            )
            break
    for number, other in enumerate(zones):
        if is_below(zone.origin, other.origin) and zone.view == other.view:
            yield Objection(
                (*path, "origin"),
                f"{zone.origin} is inside of the zone {other.origin}: a service or an alias there"
                " may have the same name, and who serves that needs a delegation (NS)",
                "choose origins that are beside each other",
                (("zones", number, "origin"),),
            )
            break


def _hardly_meant(path: KeyPath, zone: ZoneSettings) -> Iterator[Objection]:
    if zone.budget.percent == 0:
        yield Objection(
            (*path, "budget", "percent"),
            f"0 % lets no name go by itself, of {zone.budget.least} or more",
            "raise it, unless every withdrawal is to be allowed by hand",
        )
    soa = zone.soa
    if soa.expire <= soa.refresh + soa.retry:
        yield Objection(
            (*path, "soa", "expire"),
            f"{soa.expire} s is no longer than refresh and retry, {soa.refresh} s and"
            f" {soa.retry} s: secondaries give the zone up as soon as they miss one look (RFC 1912"
            " section 2.2)",
            "raise it: 604800 is a week",
            ((*path, "soa", "refresh"), (*path, "soa", "retry")),
        )
    for name, target in zone.aliases.items():
        for one in (name, target):
            if one == zone.origin or is_below(one, zone.origin):
                yield Objection(
                    (*path, "aliases", name),
                    f"{one} has the origin behind it already, and is put below it once more",
                    f"write it without .{zone.origin}",
                )
