"""The servers configuration is generated for, by name."""

from __future__ import annotations

from collections.abc import Mapping

from consulfwd.servers.bind import target as bind
from consulfwd.servers.coredns import target as coredns
from consulfwd.servers.dnsdist import target as dnsdist
from consulfwd.servers.dnsmasq import target as dnsmasq
from consulfwd.servers.kresd import target as kresd
from consulfwd.servers.nftables import target as nftables
from consulfwd.servers.pdns_recursor import target as pdns_recursor
from consulfwd.servers.resolv_conf import target as resolv_conf
from consulfwd.servers.resolved import target as resolved
from consulfwd.servers.resolver import target as resolver
from consulfwd.servers.target import Target
from consulfwd.servers.unbound import target as unbound

TARGETS: Mapping[str, Target] = {
    one.name: one
    for one in (
        bind.TARGET,
        dnsmasq.TARGET,
        unbound.TARGET,
        resolved.TARGET,
        coredns.TARGET,
        dnsdist.TARGET,
        kresd.TARGET,
        pdns_recursor.TARGET,
        resolver.TARGET,
        nftables.TARGET,
        resolv_conf.TARGET,
    )
}
