"""Clusters of real Consul agents, for `serve --dev=consul`, the integration tests, benchmarks.

What belongs here: finding the installed binaries; starting, filling and ending a cluster. It
must not know the resolver. Everything here blocks; from asyncio, use `asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from consulfwd.errors import StartError

from .child import PATIENCE_S, POLL_S, Guard
from .definitions import read_definitions
from .real_agent import ApiError, RealAgent
from .real_catalog import Operation, Registration, batches, from_definitions, health, maintenance
from .real_config import Within, acl_config, agent_config, anywhere, choose_ports, merge

__all__ = ["ApiError", "RealAgent", "RealCluster", "Registration", "dev_cluster", "find_binaries"]

ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
# How long (seconds) Consul may hold a request back while nobody leads, and what it says then:
# nothing was done. Of 40 at once 1.8 refused each after 7 s, 1.19 after 7 to 18.
HELD_S, NO_LEADER = 30.0, "No cluster leader"

# What DNS needs of an ACL token, and a corner it may not see.
DNS_RULES = """
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
service_prefix "hidden" { policy = "deny" }
query_prefix "" { policy = "read" }
"""


def binaries_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where scripts/install-consul puts <version>/consul."""
    if "CONSULFWD_CONSUL_DIR" in environ:
        return Path(environ["CONSULFWD_CONSUL_DIR"])
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "consulfwd" / "consul"


def find_binaries(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Version -> executable of every Consul here, oldest first; installed ones before PATH's."""
    found = {path.parent.name: path for path in binaries_folder(environ).glob("*/consul")}
    on_path = shutil.which("consul", path=environ.get("PATH"))
    if on_path is not None:
        found.setdefault(binary_version(Path(on_path)), Path(on_path))
    return {version: found[version] for version in sorted(found, key=_numbers)}


def binary_version(binary: Path) -> str:
    """Such as "1.19.2"; StartError when the executable does not run or is not Consul."""
    try:
        process = subprocess.run(
            [binary, "version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartError(f"{binary} does not run: {error}") from error
    match = re.match(r"Consul v(\d+(?:\.\d+)*)", process.stdout)
    if match is None:
        raise StartError(f"{binary} is not Consul: it says {process.stdout[:60]!r}")
    return match[1]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


class RealCluster:
    """Servers on `addresses` and, with `client_address`, a client agent; a context manager.

    Each agent has an address of the loopback network, and Consul's own ports there when they
    are free on all of them; `dns_port` and `http_port` set them. With `acl` everything is
    denied by default, DNS may read all but services named hidden*, and `token` manages.
    `definitions` is a folder of service definition files to register; `extra` is merged into
    each agent's configuration, and of `each` what is there by its name; `join_wan` names servers
    ("address:port") of another cluster.
    Each agent runs, and is asked, inside `within(address)`, such as a network namespace.
    Logs and data are kept in `workdir`, which is made when missing.
    """

    def __init__(
        self,
        binary: Path,
        addresses: Sequence[str] = ADDRESSES,
        *,
        workdir: Path,
        client_address: str | None = None,
        acl: bool = False,
        datacenter: str = "dc1",
        domain: str = "consul",
        dns_port: int | None = None,
        http_port: int | None = None,
        definitions: Path | None = None,
        extra: Mapping[str, Any] | None = None,
        each: Mapping[str, Mapping[str, Any]] | None = None,
        join_wan: Sequence[str] = (),
        within: Within = anywhere,
    ) -> None:
        self.binary = binary
        self.version = binary_version(binary)
        self.datacenter = datacenter
        self.domain = domain
        self.workdir = workdir
        self.token = str(uuid.uuid4()) if acl else ""
        self.servers: tuple[RealAgent, ...] = ()
        self.client: RealAgent | None = None
        self._addresses = tuple(addresses)
        self._client_address = client_address
        self._ports = (dns_port, http_port)
        self._definitions = definitions
        self._extra = dict(extra or {})
        self._each = dict(each or {})
        self._join_wan = list(join_wan)
        self._within = within
        self._guard: Guard | None = None

    def __enter__(self) -> RealCluster:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def agents(self) -> tuple[RealAgent, ...]:
        """The servers, then the client agent if there is one."""
        return self.servers if self.client is None else (*self.servers, self.client)

    @property
    def wan_addresses(self) -> list[str]:
        """What another cluster's `join_wan` takes to join this one."""
        return [f"{agent.address}:{agent.serf_wan_port}" for agent in self.servers]

    def start(self) -> None:
        """Start all agents and return when all are ready and filled; 2 to 4 seconds.

        Raises StartError, with the end of an agent's log, or ConfigError for the definitions;
        nothing is left running then.
        """
        definitions = read_definitions(self._definitions) if self._definitions else []
        try:
            self._prepare()
            for agent in self.agents:
                agent.start()
            if self.token:
                self._allow_dns()
            self.wait_ready()
            self.register_all(from_definitions(definitions, self._addresses[0]))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill every agent that runs; their data is of no further use. May be called twice."""
        for agent in self.agents:
            agent.kill()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def heal(self) -> None:
        """Thaw and restart what a test left frozen or dead, and wait for the cluster."""
        broken = [agent for agent in self.agents if agent.frozen or not agent.running]
        for agent in broken:
            if agent.running:
                agent.thaw()
            else:
                agent.start()
        if broken:
            self.rejoin()
            self.wait_ready()

    def rejoin(self) -> None:
        """Make the agents that answer know each other again, after they were apart.

        Those that took one another for failed look for one of them at random, and rarely: that may
        take minutes.
        """
        running = [agent for agent in self.agents if agent.answering]
        for agent in running:
            for other in running:
                if other is not agent:
                    with contextlib.suppress(ApiError):
                        path = f"/v1/agent/join/{other.address}:{other.serf_lan_port}"
                        agent.http("PUT", path)

    def wait_ready(self, timeout_s: float = PATIENCE_S) -> None:
        """Return when every running agent answers, names all servers, and follows the leader."""
        running = [agent for agent in self.agents if agent.answering]
        servers = sum(agent.server for agent in running)
        for agent in running:
            agent.wait_serving(servers, timeout_s)
        self.settle(timeout_s)

    def settle(self, timeout_s: float = PATIENCE_S) -> None:
        """Return when what was written before is seen by every server that runs.

        Followers learn a commit with the leader's next heartbeat, up to 100 ms later.
        """
        mark = str(uuid.uuid4())
        servers = [agent for agent in self.servers if agent.answering]
        first = servers[0]
        first.wait_until(lambda: first.write_mark(mark), "able to write", timeout_s)
        for agent in servers:
            seen = functools.partial(agent.sees_mark, mark)
            agent.wait_until(seen, "in step with the leader", timeout_s)

    def leader(self) -> RealAgent:
        """The server that leads now, as the others say.

        Waits for an election, as there may be one at any time on a busy machine; StartError when
        there is no leader after PATIENCE_S.
        """
        ends = time.monotonic() + PATIENCE_S
        while True:
            for agent in self.agents:
                if agent.answering:
                    said = agent.http("GET", "/v1/status/leader")
                    for server in self.servers:
                        if said == f"{server.address}:{server.server_port}":
                            return server
            if time.monotonic() > ends:
                raise StartError("the cluster has no leader")
            time.sleep(POLL_S)

    def http(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Any:
        """As RealAgent.http, at the first agent that runs.

        What is refused because nobody leads just now is asked again for PATIENCE_S.
        """
        agent = next(agent for agent in self.agents if agent.answering)
        ends = time.monotonic() + PATIENCE_S
        while True:
            try:
                return agent.http(method, path, body, token=token, timeout_s=HELD_S)
            except ApiError as error:
                if NO_LEADER not in str(error) or time.monotonic() > ends:
                    raise
            time.sleep(POLL_S)

    def register(self, node: str, service: str = "", **fields: Any) -> Registration:
        """Put one instance into the catalog, seen everywhere; `fields` are Registration's."""
        registration = Registration(node, service, **fields)
        self.register_all([registration])
        return registration

    def register_all(self, registrations: Sequence[Registration]) -> None:
        """Put many instances into the catalog; returns when every server sees them."""
        for operations in batches(registrations):
            self.http("PUT", "/v1/txn", operations)
        if registrations:
            self.settle()

    def deregister(self, node: str, service_id: str | None = None) -> None:
        """Take an instance out of the catalog, or without `service_id` the whole node; settles."""
        body = {"Node": node} if service_id is None else {"Node": node, "ServiceID": service_id}
        self.http("PUT", "/v1/catalog/deregister", body)
        self.settle()

    def set_health(self, node: str, service_id: str, status: str) -> None:
        """Set a registered instance to passing, warning or critical; does not settle."""
        self._apply(health(node, service_id, status))

    def maintenance(self, node: str, service_id: str, reason: str | None) -> None:
        """Put a registered instance into maintenance, None ends it; does not settle."""
        self._apply(maintenance(node, service_id, reason))

    def snapshot(self) -> bytes:
        """Return all that the cluster's servers know."""
        return self.leader().raw("GET", "/v1/snapshot")

    def restore(self, snapshot: bytes) -> None:
        """Have them know that again, and nothing else; settles."""
        self.leader().raw("PUT", "/v1/snapshot", snapshot)
        self.settle()

    def put_query(self, name: str, service: str, **fields: object) -> str:
        """Make a prepared query over `service` and return its id; `fields` go beside Service."""
        body = {"Name": name, "Service": {"Service": service}, **fields}
        made: str = self.http("POST", "/v1/query", body)["ID"]
        self.settle()
        return made

    def create_token(self, rules: str) -> str:
        """The secret of a new ACL token with these rules, known to all servers (`acl` only)."""
        name = f"policy-{uuid.uuid4()}"
        self.http("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        made = self.http("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})
        secret: str = made["SecretID"]
        for agent in self.servers:
            if agent.answering:
                # An agent that asked too early would remember for 30 s that there is no such token.
                known = functools.partial(
                    agent.http, "GET", "/v1/acl/token/self?stale", token=secret
                )
                agent.wait_until(known, "told of a new ACL token")
        return secret

    def _apply(self, operation: Operation) -> None:
        self.http("PUT", "/v1/txn", [operation])

    def _prepare(self) -> None:
        self.workdir.mkdir(parents=True, exist_ok=True)
        client = [] if self._client_address is None else [self._client_address]
        ports = choose_ports([*self._addresses, *client], *self._ports, self._within)
        shared: dict[str, Any] = {
            "datacenter": self.datacenter,
            "domain": self.domain,
        }
        if self.token:
            shared |= acl_config(_numbers(self.version), self.datacenter, self.token)
        servers = {
            "server": True,
            "bootstrap_expect": len(self._addresses),
            # A server that was killed stays a voter, so that it counts as soon as it is back.
            "autopilot": {"cleanup_dead_servers": False},
            "retry_join_wan": self._join_wan,
        }
        guard = self._guard = Guard()

        def agent(
            name: str, address: str, fields: dict[str, Any], join: Sequence[str]
        ) -> RealAgent:
            config = agent_config(_numbers(self.version), name, address, ports, self.workdir)
            # What an earlier run left there belongs to another cluster.
            shutil.rmtree(self.workdir / name, ignore_errors=True)
            config["retry_join"] = [f"{other}:{ports.serf_lan}" for other in join]
            config = merge(config | shared | fields, self._extra)
            config = merge(config, self._each.get(name, {}))
            return RealAgent(self.binary, config, self.workdir, guard, self.token, self._within)

        # Consul stops at the first join that succeeds, be it of itself: each server but the
        # first must reach an earlier one, so that no islands come about.
        self.servers = tuple(
            agent(f"server-{n + 1}", address, servers, self._addresses[: n or None][n == 0 :])
            for n, address in enumerate(self._addresses)
        )
        if self._client_address is not None:
            fields = {"server": False}
            self.client = agent("client-1", self._client_address, fields, self._addresses)

    def _allow_dns(self) -> None:
        """Give every agent a default token that may read what DNS needs."""
        secret: list[str] = []
        first = self.servers[0]

        def make() -> bool:
            secret.append(self.create_token(DNS_RULES))
            return True

        # Right after the election the ACL system itself is not up yet.
        first.wait_until(make, "able to make ACL tokens")
        for agent in self.agents:
            agent.wait_until(agent.knows_leader, "joined")
            agent.http("PUT", "/v1/agent/token/default", {"Token": secret[0]})


def dev_cluster(workdir: Path, definitions: Path | None = None, **options: Any) -> RealCluster:
    """The cluster of `serve --dev=consul`: the newest Consul here, not started yet.

    `options` are those of RealCluster. Raises StartError when no Consul is installed.
    """
    found = find_binaries()
    if not found:
        raise StartError(
            f"no consul executable on PATH or in {binaries_folder()}"
            " (scripts/install-consul installs one; `--dev` alone needs none)"
        )
    *_, newest = found.values()
    return RealCluster(newest, workdir=workdir, definitions=definitions, **options)
