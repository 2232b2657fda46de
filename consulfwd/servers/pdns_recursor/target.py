"""PowerDNS Recursor: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

import re

from consulfwd.servers.target import Beside, Output, Target

_FOLDERS = ("/etc/powerdns", "/etc/pdns-recursor")
_LAST_WINS = Beside(
    (
        *(f"{folder}/recursor.d/*.conf" for folder in _FOLDERS),
        *(f"{folder}/recursor.conf" for folder in _FOLDERS),
    ),
    re.compile(
        r"[ \t]*(?:forward-zones-file|dont-throttle-netmasks|packetcache-(?:negative|servfail)-ttl)"
        r"[ \t]*\+?=[ \t]*[^\s#]"
    ),
    "of a setting that stands in several files, PowerDNS Recursor takes what it reads last",
)

TARGET = Target(
    name="pdns-recursor",
    title="PowerDNS Recursor",
    outputs=(
        Output(
            "pdns-recursor/consul.zones.j2",
            ("/etc/powerdns/consul.zones", "/etc/pdns-recursor/consul.zones"),
            checked=False,
            max_version=(4,),
        ),
        Output(
            "pdns-recursor/consul.conf.j2",
            ("/etc/powerdns/recursor.d/consul.conf", "/etc/pdns-recursor/recursor.d/consul.conf"),
            checked=False,
            max_version=(4,),
            beside=_LAST_WINS,
        ),
        Output(
            "pdns-recursor/consul.yml.j2",
            ("/etc/powerdns/recursor.d/consul.yml", "/etc/pdns-recursor/recursor.d/consul.yml"),
            checked=False,
            min_version=(5,),
        ),
    ),
    newest=(5, 2),
    oldest=(4,),
    whole=("pdns_recursor", "--config=check"),
    # rec_control reload-zones reads zones anew, and no other setting.
    reload=(("systemctl", "try-restart", "pdns-recursor"),),
    ask_version=("pdns_recursor", "--version"),
    version_pattern=r"Recursor (\d+\.\d+(?:\.\d+)?)",
    package="pdns-recursor",
)
