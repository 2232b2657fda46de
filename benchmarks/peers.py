"""The servers compared: for each its configuration, its command and its program.

What belongs here: what an operator would write to send `consul.` to three agents with a cache,
and nothing tuned beyond it. What does not: starting or measuring anything.

Two things are added for the run's sake. Names outside `consul.` go to the same agents, which
refuse them, and trust anchors, priming and version polling are off: nothing leaves the host.
Limits on queries in flight are lifted where the defaults are below what the load keeps open.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.tools import compile_c, find, path_of, version_of
from benchmarks.upstream import Agent

ADDRESS = "127.0.0.1"
KEEPS = "keeps answers of TTL 0 for 5 s: stale"


@dataclass(frozen=True)
class Site:
    """Where one server runs: its own folder, its port on 127.0.0.1, the agents it forwards to."""

    directory: Path
    port: int
    agents: Sequence[Agent]
    programs: Path
    consulfwd: Sequence[str]

    def write(self, name: str, text: str) -> str:
        """Write a file into the server's folder; its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Peer:
    """A server by name. `command` writes its configuration and returns how to start it.

    `note` is printed under the tables of misses and of failing agents. `own` ones are consulfwd,
    started by `build`, or with None as the site says.
    """

    name: str
    program: str | None
    command: Callable[[Site], list[str]]
    version_option: str = "--version"
    note: str = ""
    own: bool = False
    build: Sequence[str] | None = None

    def version(self) -> str:
        """As the installed program says it, "-" for the floor."""
        if self.build is not None:
            return consulfwd_version(self.build)
        if self.program is None:
            return "-"
        return version_of([path_of(self.program), self.version_option])


def consulfwd_command() -> list[str]:
    """How to start the consulfwd of this interpreter."""
    entry = Path(sys.executable).parent / "consulfwd"
    if entry.exists():
        return [str(entry)]
    checkout = Path(__file__).resolve().parent.parent
    return ["env", f"PYTHONPATH={checkout}", sys.executable, "-m", "consulfwd.cli.main"]


def _floor(site: Site) -> list[str]:
    return [str(compile_c("echo", site.programs)), ADDRESS, str(site.port)]


def _consulfwd(site: Site, **watch: object) -> list[str]:
    agents = [
        {"address": agent.address, "dns_port": agent.port, "http_port": agent.http_port}
        for agent in site.agents
    ]
    settings = {
        "listen": [f"{ADDRESS}:{site.port}"],
        "consul": {"agents": agents, "watch": watch} if watch else {"agents": agents},
        "recursors": [f"{agent.address}:{agent.port}" for agent in site.agents],
    }
    config = site.write("consulfwd.yml", json.dumps(settings, indent=2) + "\n")
    return [*site.consulfwd, "serve", "-c", config]


def _dnsmasq(site: Site) -> list[str]:
    servers = "\n".join(f"server=/consul/{a.address}#{a.port}" for a in site.agents)
    config = site.write(
        "dnsmasq.conf",
        f"""port={site.port}
listen-address={ADDRESS}
bind-interfaces
no-resolv
no-hosts
cache-size=10000
dns-forward-max=1000
user=
pid-file=
{servers}
""",
    )
    return [path_of("dnsmasq"), "--keep-in-foreground", f"--conf-file={config}"]


def _unbound(site: Site) -> list[str]:
    stubs = "\n".join(f"  stub-addr: {a.address}@{a.port}" for a in site.agents)
    others = "\n".join(f"  forward-addr: {a.address}@{a.port}" for a in site.agents)
    config = site.write(
        "unbound.conf",
        f"""server:
  interface: {ADDRESS}
  port: {site.port}
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  domain-insecure: "consul"
  username: ""
  chroot: ""
  directory: "{site.directory}"
  pidfile: ""
  use-syslog: no
remote-control:
  control-enable: no
stub-zone:
  name: "consul"
{stubs}
forward-zone:
  name: "."
{others}
""",
    )
    return [path_of("unbound"), "-d", "-c", config]


def _bind(site: Site) -> list[str]:
    forwarders = " ".join(f"{a.address} port {a.port};" for a in site.agents)
    config = site.write(
        "named.conf",
        f"""options {{
  directory "{site.directory}";
  listen-on port {site.port} {{ {ADDRESS}; }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  recursion yes;
  allow-recursion {{ 127.0.0.0/8; }};
  dnssec-validation no;
  clients-per-query 0;
  max-clients-per-query 0;
  forward only;
  forwarders {{ {forwarders} }};
}};
controls {{ }};
zone "consul" {{
  type forward;
  forward only;
  forwarders {{ {forwarders} }};
}};
""",
    )
    return [path_of("named"), "-g", "-n", "1", "-c", config]


def _dnsdist(site: Site) -> list[str]:
    servers = "\n".join(
        f'newServer{{address="{a.address}:{a.port}", checkName="consul.", checkType="SOA"}}'
        for a in site.agents
    )
    config = site.write(
        "dnsdist.conf",
        f"""setLocal("{ADDRESS}:{site.port}")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
{servers}
getPool(""):setCache(newPacketCache(10000))
""",
    )
    return [path_of("dnsdist"), "--supervised", "--disable-syslog", "-C", config]


def _knot(site: Site) -> list[str]:
    agents = ", ".join(f"'{a.address}@{a.port}'" for a in site.agents)
    config = site.write(
        "kresd.conf",
        f"""net.ipv6 = false
net.listen('{ADDRESS}', {site.port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules.unload('priming')
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('ta_sentinel')
cache.size = 100 * MB
policy.add(policy.suffix(policy.STUB({{{agents}}}), policy.todnames({{'consul.'}})))
policy.add(policy.all(policy.REFUSE))
""",
    )
    return [path_of("kresd"), "-n", "-q", "-c", config, str(site.directory)]


def _coredns(site: Site) -> list[str]:
    agents = " ".join(f"{a.address}:{a.port}" for a in site.agents)
    config = site.write(
        "Corefile",
        f"""consul.:{site.port} {{
    bind {ADDRESS}
    cache 60
    forward . {agents}
}}
.:{site.port} {{
    bind {ADDRESS}
    forward . {agents}
}}
""",
    )
    # One core, one thread, as for the others.
    return ["env", "GOMAXPROCS=1", path_of("coredns"), "-conf", config]


FLOOR = Peer("floor", None, _floor, note="asks nobody: what the machine makes of the load")
BESIDE = "beside"


def ours(
    name: str, note: str = "", build: Sequence[str] | None = None, **watch: object
) -> Peer:
    """consulfwd with other settings under `consul.watch`, or another build of it."""

    def command(site: Site) -> list[str]:
        return _consulfwd(replace(site, consulfwd=build or site.consulfwd), **watch)

    return Peer(name, None, command, note=note, own=True, build=build)


def unwatched(peer: Peer) -> Peer:
    """One of our own without watches: each query of TTL 0 is forwarded, as by the others."""
    note = "consul.watch.enabled is false: see `fresh`"
    return ours(peer.name, note, peer.build, enabled=False)


OURS = ours("consulfwd")
PEERS = {
    peer.name: peer
    for peer in (
        FLOOR,
        OURS,
        Peer("dnsmasq", "dnsmasq", _dnsmasq),
        Peer("unbound", "unbound", _unbound, "-V"),
        Peer("bind", "named", _bind, "-V"),
        Peer("dnsdist", "dnsdist", _dnsdist),
        Peer("knot", "kresd", _knot, note=KEEPS),
        Peer("coredns", "coredns", _coredns, "-version", note=KEEPS),
    )
}
ALIASES = {"kresd": "knot", "knot-resolver": "knot", "named": "bind", "bind9": "bind"}


def consulfwd_version(command: Sequence[str]) -> str:
    """What `consulfwd --version` says."""
    return version_of([*command, "--version"]) if find(command[0]) else "?"
