"""The resolv.conf(5) of a host: its place, as the manual states it."""

from __future__ import annotations

from consulfwd.servers.target import Output, Target

TARGET = Target(
    name="resolv.conf",
    title="resolv.conf",
    outputs=(Output("resolv.conf/resolv.conf.j2", ("/etc/resolv.conf",)),),
    newest=(1,),
    oldest=(1,),
    # A host's own resolver is asked at port 53, where no agent listens.
    to="consulfwd",
)
