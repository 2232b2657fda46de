"""The configuration of real Consul agents: free ports, and the keys each version knows.

What belongs here: what ends in an agent's configuration file. It must not know of processes
(`real_agent`) or clusters (`real`).
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consulfwd.errors import StartError

# Below the kernel's range for outgoing connections, so that a port stays ours while an agent
# that was killed is not running.
_FREE_PORTS = range(20_000, 32_000)

# What is to be entered to reach an address of an agent, such as its network namespace.
Within = Callable[[str], AbstractContextManager[object]]


def anywhere(address: str) -> AbstractContextManager[object]:
    """Every address is reached from here."""
    return nullcontext()


@dataclass(frozen=True)
class Ports:
    """The ports of an agent; Consul's own numbers unless they are taken."""

    dns: int = 8600
    http: int = 8500
    serf_lan: int = 8301
    serf_wan: int = 8302
    server: int = 8300


def choose_ports(
    addresses: Sequence[str],
    dns_port: int | None = None,
    http_port: int | None = None,
    within: Within = anywhere,
) -> Ports:
    """Ports free for UDP and TCP on every address; `dns_port`, `http_port` are taken as given.

    Raises StartError when an address is not one of this host's.
    """
    defaults = Ports()

    taken = {port for port in (dns_port, http_port) if port is not None}

    def choose(default: int) -> int:
        free = default not in taken and _free(addresses, default, within)
        port = default if free else free_port(*addresses, within=within, without=taken)
        taken.add(port)
        return port

    return Ports(
        dns=choose(defaults.dns) if dns_port is None else dns_port,
        http=choose(defaults.http) if http_port is None else http_port,
        serf_lan=choose(defaults.serf_lan),
        serf_wan=choose(defaults.serf_wan),
        server=choose(defaults.server),
    )


def free_port(
    *addresses: str, within: Within = anywhere, without: Collection[int] = ()
) -> int:
    """A port nothing uses for UDP or TCP on any of the addresses, and none of some."""
    first, many = random.randrange(len(_FREE_PORTS)), len(_FREE_PORTS)
    candidates = (_FREE_PORTS[(first + more) % many] for more in range(many))
    return next(
        port for port in candidates if port not in without and _free(addresses, port, within)
    )


def _free(addresses: Sequence[str], port: int, within: Within) -> bool:
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with (
            within(address),
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            try:
                # As Consul does: connections in TIME_WAIT are no obstacle, listeners are.
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                stream.bind((address, port))
                stream.listen()
                datagram.bind((address, port))
            except OSError as error:
                if isinstance(error, PermissionError) or error.errno == errno.EADDRNOTAVAIL:
                    raise StartError(
                        f"cannot use {address}:{port} for a Consul agent: {error.strerror}"
                        " (addresses of 127.0.0.0/8 other than 127.0.0.1 work on Linux only)"
                    ) from error
                return False
    return True


def agent_config(
    version: tuple[int, ...], name: str, address: str, ports: Ports, folder: Path
) -> dict[str, Any]:
    """What a server and a client agent share, in the keys `version` knows.

    https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file
    """
    config: dict[str, Any] = {
        "node_name": name,
        "data_dir": str(folder / name),
        "bind_addr": address,
        "client_addr": address,
        "ports": {
            "dns": ports.dns,
            "http": ports.http,
            "https": -1,
            "grpc": -1,
            "serf_lan": ports.serf_lan,
            "serf_wan": ports.serf_wan,
            "server": ports.server,
        },
        "retry_interval": "100ms",
        "retry_interval_wan": "100ms",
        "performance": {"raft_multiplier": 1},
        "disable_update_check": True,
        "log_level": "info",
    }
    if version >= (1, 14):
        config["ports"]["grpc_tls"] = -1
        config["peering"] = {"enabled": False}
    return config


def acl_config(version: tuple[int, ...], datacenter: str, token: str) -> dict[str, Any]:
    """Everything denied by default; `token`, a UUID, may do all."""
    management = "initial_management" if version >= (1, 11) else "master"
    return {
        "primary_datacenter": datacenter,
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "enable_token_persistence": True,
            "tokens": {management: token, "agent": token},
        },
    }


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says; mappings are merged key by key, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged
