"""The cluster of the case, set up from nothing by the scripts in vagrant/provision.

Three hosts with MariaDB Galera, Consul and BIND; two with Icinga 2 and consulfwd; one for the web;
and one that is the world outside. What belongs here is how it comes up, and what a test may ask
and do to it. What is measured of it is `record`'s.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from consulfwd.dev.real import find_binaries
from tests.e2e.machines import PROJECT, SHARED, Machine, machines
from tests.integration.namespaces import Network

GALERA = ("galera1", "galera2", "galera3")
ICINGA = ("icinga1", "icinga2")
ADDRESSES = {
    "galera1": "192.168.56.11",
    "galera2": "192.168.56.12",
    "galera3": "192.168.56.13",
    "icinga1": "192.168.56.21",
    "icinga2": "192.168.56.22",
    "web": "192.168.56.31",
    "outside": "192.168.56.53",
}
# What is broken here and there.
UNITS = {
    **dict.fromkeys(GALERA, "consul mariadb named"),
    **dict.fromkeys(ICINGA, "consul consulfwd"),
}
# The way "one agent" needs a port 53 that is Consul's.
AGENT_53 = "192.168.56.111"
NAME, OUTSIDE_NAME = "galeradb.service.consul", "www.outside.test"
OUTSIDE_ADDRESS = "198.51.100.80"
SECRETS = "/etc/site-secrets"
KEYS = (
    "DB_ICINGA_PASSWORD",
    "DB_WRITER_PASSWORD",
    "SST_PASSWORD",
    "ICINGA_API_PASSWORD",
    "ICINGA_TICKET_SALT",
)
# Consul tries to reach again who was cut off each 30 s.
SYNCED_S, ANSWERED_S = 90.0, 120.0

# The world outside: one zone, and BIND's own answers for everything else.
_OUTSIDE_CONF = """
options {{
    directory "/var/cache/bind"; listen-on {{ {address}; }}; listen-on-v6 {{ none; }};
    recursion no; allow-query {{ any; }}; dnssec-validation no;
}};
zone "outside.test" {{ type primary; file "/etc/bind/outside.test"; }};
"""
_OUTSIDE_ZONE = f"""
$TTL 5
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A {{address}}
www A {OUTSIDE_ADDRESS}
"""


def serve_outside(machine: Machine, *records: str) -> None:
    """Have a machine's BIND be the world outside, at its address; with more records of the zone."""
    zone = "\n".join([_OUTSIDE_ZONE.format(address=machine.address), *records, ""])
    machine.write("/etc/bind/named.conf", _OUTSIDE_CONF.format(address=machine.address))
    machine.write("/etc/bind/outside.test", zone)
    machine.sh("systemctl start named")


class Site:
    """The running cluster."""

    def __init__(self, lan: Network, made: dict[str, Machine], tell: Callable[[str], None]) -> None:
        self.lan = lan
        self.machines = made
        self._tell = tell
        self._secrets = {key: secrets.token_hex(16) for key in KEYS}
        self._environ = {
            "FORWARDERS": ADDRESSES["outside"],
            "DNSSEC": "no",
            "OUTSIDE_NAME": OUTSIDE_NAME,
            "ICINGA_CHECK_INTERVAL": "5",
            "WHEELS": "/wheels",
            "CONSUL_BINARY": "/consul/consul",
            "SECRETS": SECRETS,
        }

    def secret(self, key: str) -> str:
        """One of the passwords of this run."""
        return self._secrets[key]

    # -- coming up ----------------------------------------------------------------------------

    def set_up(self) -> None:
        """Run the provisioning of every host, those beside each other that need not wait."""
        begin = time.monotonic()
        with ThreadPoolExecutor() as pool:
            try:
                self._provision_all(pool)
            except BaseException:
                # What still runs there would be waited for.
                pool.shutdown(wait=False, cancel_futures=True)
                for machine in self.machines.values():
                    machine.kill()
                raise
        self.wait_whole()
        self._tell(f"all is up after {time.monotonic() - begin:.1f} s")

    def _provision_all(self, pool: Executor) -> None:
        serve_outside(self.machines["outside"])
        everywhere = [one for one in self.machines.values() if one.name != "outside"]
        text = "".join(f"{key}={value}\n" for key, value in self._secrets.items())
        for machine in everywhere:
            machine.write(SECRETS, text, "600")
        galera = [self.machines[name] for name in GALERA]
        clients = [self.machines[name] for name in (*ICINGA, "web")]
        list(pool.map(lambda one: self.provision(one, "hosts.sh"), everywhere))
        consul = [pool.submit(self.provision, one, "consul.sh") for one in everywhere]
        first = pool.submit(self.provision, galera[0], "galera.sh")
        for future in (*consul, first):
            future.result()
        named = [pool.submit(self._resolver, one) for one in galera]
        # Galera may fail to take in two at once: what one is sent ends before the other came.
        for one in galera[1:]:
            self.provision(one, "galera.sh")
        for future in named:
            future.result()
        list(pool.map(lambda one: self.provision(one, "consulfwd.sh", "--stub"), clients))
        web = pool.submit(self.provision, self.machines["web"], "web.sh")
        masters = [pool.submit(self.provision, self.machines[name], "icinga.sh") for name in ICINGA]
        for future in (web, *masters):
            future.result()
        self.provision(galera[0], "consul-port-53.sh", AGENT_53)

    def _resolver(self, machine: Machine) -> None:
        self.provision(machine, "consulfwd.sh")
        self.provision(machine, "bind.sh")

    def provision(
        self,
        machine: Machine,
        script: str,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run one of the scripts on a host."""
        begin = time.monotonic()
        machine.run(
            "bash",
            SHARED / "vagrant" / "provision" / script,
            *arguments,
            environ={**self._environ, **(environ or {})},
            timeout=150.0,
        )
        self._tell(f"{machine.name:8} {script:18} {time.monotonic() - begin:5.1f} s")

    # -- looking ------------------------------------------------------------------------------

    def wait_whole(self) -> None:
        """Return when all is as it should be: Galera has three members, and Consul gives them."""
        members = [functools.partial(self.size, name) for name in GALERA]
        wait(
            lambda: all(size() == "3" for size in members), "all three members of Galera", SYNCED_S
        )
        wait(self.leader, "a leader of Consul", ANSWERED_S)
        # An agent that has just started holds the service for bad until its check ran. The others
        # may not know yet, and answer as if it had not been away.
        checks = [functools.partial(self.passing, name) for name in GALERA]
        wait(lambda: all(check() for check in checks), "all checks passing", ANSWERED_S)
        servers = [functools.partial(self.server_is_whole, name) for name in GALERA]
        wait(
            lambda: all(server() for server in servers),
            "three voters, and three nodes in the catalog of each server",
            ANSWERED_S,
        )
        everyone = {ADDRESSES[name] for name in GALERA}
        given: dict[str, set[str]] = {}

        def complete() -> bool:
            given.update((name, self.answer(name)) for name in ICINGA)
            return all(answer == everyone for answer in given.values())

        wait(complete, lambda: f"all three nodes in the answer, now {given}", ANSWERED_S)

    def size(self, name: str) -> str:
        """How many members Galera has, as this one knows; "" while it takes no queries."""
        query = (
            "SELECT IF(MAX(variable_value = 'ON'), size.n, '') FROM"
            " information_schema.global_status, (SELECT variable_value AS n FROM"
            " information_schema.global_status WHERE variable_name = 'wsrep_cluster_size') AS size"
            " WHERE variable_name = 'wsrep_ready'"
        )
        return self.sql(name, query, check=False)

    def sql(self, name: str, query: str, *, check: bool = True) -> str:
        """What a Galera node's server says, as its root."""
        text = self.machines[name].run(
            "mysql", "--batch", "--skip-column-names", given=query, check=check, timeout=30
        )
        return "" if text.startswith("ERROR") else text.strip()

    def answer(self, name: str, wanted: str = NAME) -> set[str]:
        """The addresses a host's programs get for a name."""
        lines = self.machines[name].run("getent", "ahostsv4", wanted, check=False).splitlines()
        return {line.split()[0] for line in lines if line}

    def passing(self, name: str) -> bool:
        """Whether the agent on a Galera node holds the service there for well."""
        url = "http://127.0.0.1:8500/v1/agent/health/service/name/galeradb?format=text"
        said = self.machines[name].run("curl", "--silent", "--max-time", "5", url, check=False)
        return said.strip() == "passing"

    def server_is_whole(self, name: str) -> bool:
        """Whether a Consul server knows three that vote, and three nodes that pass all checks."""
        paths = ("operator/raft/configuration?stale", "health/service/galeradb?passing&stale")
        urls = [f"http://127.0.0.1:8500/v1/{path}" for path in paths]
        said = self.machines[name].run("curl", "--silent", "--max-time", "5", *urls, check=False)
        return said.count('"Voter":true') == len(GALERA) == said.count('"Service":"galeradb"')

    def leader(self) -> str:
        """The name of the host whose Consul server leads, as icinga1's agent knows; "" for none."""
        url = "http://127.0.0.1:8500/v1/status/leader"
        said = self.machines["icinga1"].run("curl", "--silent", "--fail", url, check=False)
        address = said.strip('"\n').partition(":")[0]
        return next((name for name, one in ADDRESSES.items() if one == address), "")

    # -- doing --------------------------------------------------------------------------------

    def stop(self, name: str, unit: str) -> None:
        """Kill a service as a crash does, and keep systemd from starting it again."""
        folder = f"/run/systemd/system/{unit}.service.d"
        self.machines[name].sh(
            f"mkdir -p {folder}; printf '[Service]\\nRestart=no\\n' > {folder}/zz-down.conf;"
            f" systemctl daemon-reload; systemctl kill --signal=KILL {unit}"
        )

    def start(self, name: str, unit: str) -> None:
        """Let a service that was stopped so come back."""
        self.machines[name].sh(
            f"rm -r /run/systemd/system/{unit}.service.d; systemctl daemon-reload;"
            f" systemctl reset-failed {unit}; systemctl start --no-block {unit}"
        )

    def mend(self) -> None:
        """Mend what a test may have broken and left so; nothing happens where all is well."""
        for name, units in UNITS.items():
            self.lan.mend(self.lan.hosts[name])
            self.machines[name].sh(
                f"for unit in {units}; do folder=/run/systemd/system/$unit.service.d;"
                " [ ! -e $folder/zz-down.conf ] || { rm -r $folder; systemctl daemon-reload; };"
                " systemctl is-active --quiet $unit || { systemctl reset-failed $unit || true;"
                " systemctl start --no-block $unit; }; done"
            )


def wait(condition: Callable[[], object], what: str | Callable[[], str], within: float) -> None:
    """Return when `condition` holds; AssertionError when it does not within so many seconds.

    `what` is waited for, or tells that when the time is up.
    """
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() >= end:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"{text}: not within {within:g} s")
        time.sleep(0.2)


def wheels(folder: Path) -> None:
    """Make what a host without any network installs consulfwd from."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    make: list[str | Path] = ["wheel", "--no-build-isolation", "--wheel-dir", folder, PROJECT]
    subprocess.run([*pip, *make], check=True, timeout=180, umask=0o022)


@dataclass(frozen=True)
class Layer:
    """What hosts stand on: one on which consulfwd is installed. `shared` is theirs to read."""

    folder: Path
    shared: Mapping[Path, Path]


def lowest(folder: Path, tell: Callable[[str], None]) -> Layer:
    """Install once what takes longest, and is the same everywhere."""
    begin = time.monotonic()
    found = find_binaries()
    assert found, "no Consul is installed: scripts/install-consul"
    *_, binary = found.values()
    wheels(folder / "wheels")
    # By the path of the folder it lies in, not of a link to it.
    shared = {folder / "wheels": Path("/wheels"), binary.parent.resolve(): Path("/consul")}
    tell(f"wheels in {time.monotonic() - begin:.1f} s")
    with machines({"base": ADDRESSES["web"]}, folder, shared) as (lan, made):
        Site(lan, made, tell).provision(made["base"], "consulfwd.sh", environ={"HOST": "web"})
        made["base"].copy(folder / "layer")
    return Layer(folder / "layer", shared)


@contextlib.contextmanager
def booted(folder: Path, layer: Layer, tell: Callable[[str], None]) -> Iterator[Site]:
    """The hosts of the cluster, still empty, for as long as the block; `tell` hears what took how
    long."""
    begin = time.monotonic()
    with machines(ADDRESSES, folder, layer.shared, base=layer.folder) as (lan, made):
        tell(f"booted after {time.monotonic() - begin:.1f} s")
        yield Site(lan, made, tell)


def _main() -> None:
    """Set it up to be looked at."""

    def tell(text: str) -> None:
        print(text, flush=True)

    with tempfile.TemporaryDirectory(prefix="site-") as made:
        folder = Path(made)
        with booted(folder, lowest(folder, tell), tell) as up:
            up.set_up()
            for machine in up.machines.values():
                print(f"{machine.name}: {shlex.join(machine.command('bash'))}", flush=True)
            sys.stdin.readline()


if __name__ == "__main__":
    _main()
