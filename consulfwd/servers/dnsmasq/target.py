"""dnsmasq: its files, checker, reload and versions, as its manual states them."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="dnsmasq",
    title="dnsmasq",
    outputs=(Output("dnsmasq/consul.conf.j2", ("/etc/dnsmasq.d/consul.conf",)),),
    newest=(2, 91),
    oldest=(2, 60),
    check=("dnsmasq", "--test", "--conf-file={file}"),
    whole=("dnsmasq", "--test"),
    # SIGHUP does not make it read `server` lines again.
    reload=(("systemctl", "try-restart", "dnsmasq"),),
    ask_version=("dnsmasq", "--version"),
    version_pattern=r"version (\d+\.\d+)",
    package="dnsmasq-base",
)
