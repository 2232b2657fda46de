"""PowerDNS Recursor: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

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
            "pdns-recursor/consul.yml.j2",
            ("/etc/powerdns/recursor.d/consul.yml", "/etc/pdns-recursor/recursor.d/consul.yml"),
            checked=False,
            min_version=(5,),
        ),
    ),
    newest=(5, 2),
    oldest=(4,),
    whole=("pdns_recursor", "--config=check"),
    reload=(("rec_control", "reload-zones"), ("rec_control", "wipe-cache", "{domain}$")),
    ask_version=("pdns_recursor", "--version"),
    version_pattern=r"Recursor (\d+\.\d+(?:\.\d+)?)",
    package="pdns-recursor",
)
