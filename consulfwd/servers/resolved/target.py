"""systemd-resolved: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

import re

from consulfwd.servers.target import DATACENTER, EVERY_KIND, Beside, Output, Target

# Those of the administrator come first, as in systemd's own order.
_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
# All that is read before delegates is one list of servers, and one of domains.
_ONE_LIST = Beside(
    (
        *(f"{folder}/resolved.conf.d/*.conf" for folder in _FOLDERS),
        *(f"{folder}/resolved.conf" for folder in _FOLDERS),
    ),
    re.compile(r"[ \t]*(?:DNS|Domains)[ \t]*=[ \t]*[^\s#;]"),
    "systemd-resolved joins the servers and the domains of all its files: any of these servers may"
    " be asked about Consul's names, and about all others",
)

TARGET = Target(
    name="resolved",
    title="systemd-resolved",
    outputs=(
        Output(
            "resolved/consul.conf.j2",
            ("/etc/systemd/resolved.conf.d/consul.conf",),
            max_version=(257,),
            beside=_ONE_LIST,
        ),
        Output(
            "resolved/consul.dns-delegate.j2",
            ("/etc/systemd/dns-delegate.d/consul.dns-delegate",),
            min_version=(258,),
        ),
    ),
    newest=(258,),
    oldest=(229,),
    whole=("systemd-analyze", "cat-config", "systemd/resolved.conf"),
    # Older ones cannot reload.
    reload=(("systemctl", "try-reload-or-restart", "systemd-resolved"),),
    ask_version=("systemctl", "--version"),
    version_pattern=r"systemd (\d+)",
    package="systemd",
    asked_at="127.0.0.53",
    # One list of servers is for all domains.
    kinds=EVERY_KIND - {DATACENTER},
)
