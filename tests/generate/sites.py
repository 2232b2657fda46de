"""Sites of every kind that files are generated for: settings, and whom the zones go to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consulfwd.apply.jobs import Job
from consulfwd.config import Settings
from consulfwd.errors import TemplateError, UsageError
from consulfwd.generate.requests import Request, jobs, usual_place
from consulfwd.servers.target import Target, To, Version
from consulfwd.servers.targets import TARGETS

AGENTS = ["10.0.0.11", "10.0.0.12"]
# Text that settings let through, each with what has a meaning somewhere.
ODD = {
    "domain": "_-_.123.on",
    "alt_domains": ["no.null", "0x1f", "1e3.y"],
    "agents": ["[2001:db8::1]:1", "[fd00::1]:65535", "127.0.0.9:53"],
    "datacenters": {
        "-": {"agents": ["10.2.0.1", "10.2.0.2"]},
        "_dc-": {"agents": ["10.3.0.1:53", "10.3.0.2:53"]},
    },
}
SITES: dict[str, dict[str, Any]] = {
    "least": {"consul": {"agents": AGENTS}},
    "on this host": {"consul": {"agents": ["127.0.0.1:8600", "[::1]:8600", "10.0.0.11"]}},
    "port 53": {"consul": {"agents": ["10.0.0.11:53", "10.0.0.12:53"]}},
    "domains": {
        "consul": {"domain": "consul.corp.example", "alt_domains": ["sd.example"], "agents": AGENTS}
    },
    "datacenters": {
        "consul": {
            "agents": AGENTS,
            "datacenters": {"dc2": {"agents": ["10.2.0.11", "10.2.0.12"]}},
            "alt_domains": ["sd.example"],
        }
    },
    "reverse": {"consul": {"agents": AGENTS, "reverse": ["10.0.0.0/8", "fd00::/8", "1.2.3.4/32"]}},
    # More zones than systemd-resolved takes in one list, 256.
    "wide": {"consul": {"agents": AGENTS, "reverse": ["10.0.0.0/9", "11.0.0.0/9", "12.0.0.0/14"]}},
    "forward": {
        "consul": {"agents": AGENTS},
        "forward": {"corp.example": ["10.9.0.53", "10.9.0.54"], "public.example": ["9.9.9.9"]},
    },
    "recursors": {"consul": {"agents": AGENTS}, "recursors": ["10.0.0.53", "[fd00::53]:5353"]},
    "link-local": {"consul": {"agents": ["[fe80::1%eth0]:8600", "fe80::2%br-1.5", "10.0.0.11"]}},
    "everywhere": {"consul": {"agents": AGENTS}, "listen": ["0.0.0.0:53", "[::]:53"]},
    "open to some": {"consul": {"agents": AGENTS}, "access": {"allow": ["10.3.0.0/16"]}},
    "odd": {"consul": ODD, "forward": {"_tcp.x-y.1": ["10.9.0.53"]}},
    "many agents": {"consul": {"agents": [f"10.0.{n}.1" for n in range(100)]}},
}
ASIDE = ["127.0.0.1:5300", "[::1]:5300"]
# Before, at, and behind what makes a difference to a file.
VERSIONS: dict[str, list[Version]] = {
    "bind": [(9, 11), (9, 14), (9, 15), (9, 16), (9, 18), (9, 20)],
    "dnsmasq": [(2, 60), (2, 80), (2, 91)],
    "unbound": [(1, 4), (1, 8), (1, 9), (1, 13), (1, 14), (1, 19), (1, 20), (1, 24)],
    "resolved": [(229,), (245,), (246,), (257,), (258,)],
    "coredns": [(1, 4), (1, 9, 1), (1, 9, 2), (1, 13)],
    "dnsdist": [(1, 3), (1, 9)],
    "kresd": [(3,), (5, 7)],
    "pdns-recursor": [(4,), (4, 1), (4, 2), (4, 8), (4, 9), (5,), (5, 1), (5, 2)],
    "resolver": [(10,), (26,)],
    "nftables": [(0, 6), (1, 1)],
    "resolv.conf": [(1,)],
}
OPTIONS = [(target.name, frozenset[str]()) for target in TARGETS.values()] + [
    ("bind", frozenset({"named_conf"}))
]


@functools.cache
def _settings(to: To) -> list[Settings]:
    aside = {"listen": ASIDE} if to == "consulfwd" else {}
    return [Settings(**{**given, **aside}) for given in SITES.values()]


def made(
    target: Target, version: Version, options: frozenset[str], folder: Path | None = None
) -> Iterator[tuple[Request, list[Job]]]:
    """Every site, its zones with the agents and with consulfwd, where there is a file for it.

    With `folder` the first file goes there, by its usual name.
    """
    outputs = target.files(version, options)
    dest = folder / usual_place(outputs[0]).name if folder and outputs else None
    to: To
    for to in ("agents", "consulfwd"):
        for settings in _settings(to):
            request = Request(target, settings, version, to, options, dest=dest)
            try:
                yield request, jobs(request)
            except (TemplateError, UsageError):
                continue


def requests(target: Target, version: Version, options: frozenset[str]) -> Iterator[Request]:
    """The same, only what is asked for."""
    for request, _ in made(target, version, options):
        yield request
