"""BIND: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import DATACENTER, EVERY_KIND, Output, Target

TARGET = Target(
    name="bind",
    title="BIND",
    outputs=(
        Output(
            "bind/consul.conf.j2",
            (
                "/etc/bind/consul.conf",
                "/etc/named/consul.conf",
                "/usr/local/etc/namedb/consul.conf",
            ),
        ),
        Output(
            "bind/named.conf.j2",
            ("/etc/bind/named.conf", "/usr/local/etc/namedb/named.conf", "/etc/named.conf"),
            optional="named_conf",
            # It includes the other one where that will be, not where its candidate is.
            checked=False,
        ),
    ),
    newest=(9, 20),
    oldest=(9, 11),
    check=("named-checkconf", "{file}"),
    whole=("named-checkconf",),
    reload=(("rndc", "reconfig"),),
    # It keeps for up to 3 hours that a name is not there.
    forget=("rndc", "flushtree", "{zone}"),
    forget_all=("rndc", "flush"),
    ask_version=("named", "-v"),
    version_pattern=r"BIND (\d+\.\d+(?:\.\d+)?)",
    whole_needs_recursors=True,
    package="bind9-utils",
    # That there are no such records is SERVFAIL where the SOA lies above the zone forwarded, and
    # Consul's is the domain's: AAAA in a zone of a datacenter's.
    kinds=EVERY_KIND - {DATACENTER},
)
