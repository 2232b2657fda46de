"""One real Consul agent as a child process: its HTTP API, a look at its DNS.

What belongs here: what concerns a single agent. It must not know of clusters or of what is
registered in the catalog (`real`, `real_catalog`), nor of the resolver.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .child import PATIENCE_S, Child, Guard
from .real_config import Within, anywhere

_MARK = "/v1/kv/consulfwd/mark"


class ApiError(Exception):
    """Consul's HTTP API answered `status` (or, with status 0, could not be reached)."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"HTTP {status}: {message}" if status else message)


class RealAgent(Child):
    """A Consul agent run from `binary` with `config`; its log stays in `folder`/<name>.log.

    It is started, and asked by the methods here, inside `within` of its address.
    """

    def __init__(
        self,
        binary: Path,
        config: Mapping[str, Any],
        folder: Path,
        guard: Guard,
        token: str,
        within: Within = anywhere,
    ) -> None:
        name: str = config["node_name"]
        file = folder / f"{name}.json"
        file.write_text(json.dumps(config, indent=2))
        command: list[str | Path] = [binary, "agent", f"-config-file={file}"]
        super().__init__(name, command, folder / f"{name}.log", guard)
        self.address: str = config["bind_addr"]
        self.dns_port: int = config["ports"]["dns"]
        self.http_port: int = config["ports"]["http"]
        self.serf_lan_port: int = config["ports"]["serf_lan"]
        self.serf_wan_port: int = config["ports"]["serf_wan"]
        self.server_port: int = config["ports"]["server"]
        self.server: bool = config["server"]
        self._token = token
        self._within = within
        self._probe = _query(f"consul.service.{config['datacenter']}.{config['domain']}")

    def __repr__(self) -> str:
        return f"<RealAgent {self.name} {self.address}:{self.dns_port}>"

    def start(self) -> None:
        """Start the process; `wait_ready` tells when it serves."""
        with self._within(self.address):
            super().start()

    def restart(self, *, wait: bool = True) -> None:
        """Kill when running, start again on the same data, and wait until it answers."""
        self.kill()
        self.start()
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = PATIENCE_S) -> None:
        """Return when the agent serves and knows all that was written before.

        A server that comes back serves while it still replays its log, and then calls healthy
        services unknown. Raises StartError as `wait_until` does.
        """
        self.wait_serving(timeout_s=timeout_s)
        mark = str(uuid.uuid4())
        self.wait_until(lambda: self.write_mark(mark), "able to write", timeout_s)
        self.wait_until(lambda: self.sees_mark(mark), "in step with the leader", timeout_s)

    def wait_serving(self, servers: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Return when the agent knows a leader and its DNS names at least `servers` servers."""
        self.wait_until(lambda: self._serves(servers), "ready", timeout_s)

    def write_mark(self, mark: str) -> bool:
        """Write `mark` where `sees_mark` looks; writes are seen in their order."""
        return self.http("PUT", _MARK, mark) is True

    def sees_mark(self, mark: str) -> bool:
        """Does this agent, by what it knows itself, know everything written up to `mark`?"""
        return bool(self.http("GET", f"{_MARK}?stale&raw") == mark)

    def knows_leader(self) -> bool:
        """True when the agent names a leader; ApiError when it does not answer."""
        return bool(self.http("GET", "/v1/status/leader", timeout_s=1.0))

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        timeout_s: float = 10.0,
    ) -> Any:
        """The decoded JSON of a request to this agent; ApiError for anything but 2xx.

        `token` None sends the cluster's management token when ACLs are on; "" sends none.
        """
        sent = None if body is None else json.dumps(body).encode()
        text = self.raw(method, path, sent, token=token, timeout_s=timeout_s).decode()
        return json.loads(text) if text.strip() else None

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str | None = None,
        timeout_s: float = 10.0,
    ) -> bytes:
        """The same, as octets."""
        token = self._token if token is None else token
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=timeout_s)
        try:
            with self._within(self.address):
                connection.connect()
            connection.request(
                method,
                path,
                body,
                {"X-Consul-Token": token} if token else {},
            )
            response = connection.getresponse()
            found = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"{method} {path} at {self.name}: {error!r}") from error
        finally:
            connection.close()
        if response.status // 100 != 2:
            text = found.decode(errors="replace").strip()
            raise ApiError(response.status, f"{method} {path} at {self.name}: {text}")
        return found

    def dns_answers(self) -> int | None:
        """How many servers this agent's DNS names (3 at most, for want of EDNS).

        None when there is no usable answer within a quarter of a second.
        """
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with self._within(self.address), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.25)
            try:
                sock.connect((self.address, self.dns_port))
                sock.send(self._probe)
                reply = sock.recv(4096)
            except OSError:
                return None
        _, flags, _, answers = struct.unpack_from("!4H", reply)
        return answers if flags & 0x0F == 0 else None

    def _serves(self, servers: int) -> bool:
        return self.knows_leader() and (self.dns_answers() or 0) >= min(servers, 3)

    def _holds(self, condition: Callable[[], object]) -> bool:
        try:
            return bool(condition())
        except ApiError:
            return False


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
