"""One real Consul agent as a child process: its life, its HTTP API, a look at its DNS.

What belongs here: what concerns a single agent. It must not know of clusters or of what is
registered in the catalog (`real`, `real_catalog`), nor of the resolver.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consulfwd.errors import StartError

POLL_S = 0.025
TAIL_LINES = 15

# Kills what is left when our side of the pipe closes, however this process ends. Unlike
# PR_SET_PDEATHSIG it does not depend on the thread that started the agent staying alive.
_GUARD = """
left=
while read -r sign pid; do
    case $sign in
        +) left="$left $pid" ;;
        -) new=; for p in $left; do [ "$p" = "$pid" ] || new="$new $p"; done; left=$new ;;
    esac
done
[ -z "$left" ] || kill -9 $left
"""


class Guard:
    """A small process that kills the agents it was told of when this process is gone."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        self._tell(f"+ {pid}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"- {pid}\n")

    def close(self) -> None:
        """End the guard; agents it still knows are killed by it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


class ApiError(Exception):
    """Consul's HTTP API answered `status` (or, with status 0, could not be reached)."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"HTTP {status}: {message}" if status else message)


class RealAgent:
    """A Consul agent run from `binary` with `config`; its log stays in `folder`/<name>.log."""

    def __init__(
        self, binary: Path, config: Mapping[str, Any], folder: Path, guard: Guard, token: str
    ) -> None:
        self.name: str = config["node_name"]
        self.address: str = config["bind_addr"]
        self.dns_port: int = config["ports"]["dns"]
        self.http_port: int = config["ports"]["http"]
        self.serf_lan_port: int = config["ports"]["serf_lan"]
        self.serf_wan_port: int = config["ports"]["serf_wan"]
        self.server_port: int = config["ports"]["server"]
        self.server: bool = config["server"]
        self.log = folder / f"{self.name}.log"
        self._probe = _query(f"consul.service.{config['datacenter']}.{config['domain']}")
        self._token = token
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._config_file = folder / f"{self.name}.json"
        self._config_file.write_text(json.dumps(config, indent=2))
        self._command = [str(binary), "agent", f"-config-file={self._config_file}"]

    def __repr__(self) -> str:
        return f"<RealAgent {self.name} {self.address}:{self.dns_port}>"

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when the agent is not running."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """True while the process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        return self._frozen

    @property
    def answering(self) -> bool:
        """True when it runs and is not frozen, so that it is worth asking."""
        return self.running and not self._frozen

    def start(self) -> None:
        """Start the process; `wait_ready` tells when it serves."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        self._reap()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in our terminal is for us to handle.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay open and nothing answers; returns when all threads stand."""
        pid = self.pid
        if not self._frozen:
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            self._frozen = True

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._running().send_signal(signal.SIGCONT)
        self._frozen = False

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Does nothing when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def terminate(self, timeout_s: float = 20.0) -> None:
        """SIGTERM: the orderly end (a client agent leaves the cluster); waits for it."""
        process = self._running()
        if self._frozen:
            self.thaw()
        process.terminate()
        process.wait(timeout_s)
        self._reap()

    def restart(self, *, wait: bool = True) -> None:
        """Kill when running, start again on the same data, and wait until it answers."""
        self.kill()
        self.start()
        if wait:
            self.wait_ready()

    def wait_ready(self, servers: int = 1, timeout_s: float = 30.0) -> None:
        """Return when the agent knows a leader and its DNS names at least `servers` servers.

        Raises StartError with the end of the agent's log when it ends or the time is up.
        """
        self.wait_until(lambda: self._ready(servers), "ready", timeout_s)

    def wait_until(
        self, condition: Callable[[], object], what: str, timeout_s: float = 30.0
    ) -> None:
        """Return when `condition` holds (an ApiError means: not yet); else as `wait_ready`."""
        end = time.monotonic() + timeout_s
        while not self._holds(condition):
            if not self.running:
                code = None if self._process is None else self._process.returncode
                raise StartError(f"Consul agent {self.name} ended (code {code})\n{self.tail()}")
            if time.monotonic() > end:
                raise StartError(
                    f"Consul agent {self.name} on {self.address} was not {what}"
                    f" within {timeout_s:g} s\n{self.tail()}"
                )
            time.sleep(POLL_S)

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
        token = self._token if token is None else token
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=timeout_s)
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"X-Consul-Token": token} if token else {},
            )
            response = connection.getresponse()
            text = response.read().decode()
        except OSError as error:
            raise ApiError(0, f"{method} {path} at {self.name}: {error}") from error
        finally:
            connection.close()
        if response.status // 100 != 2:
            raise ApiError(response.status, f"{method} {path} at {self.name}: {text.strip()}")
        return json.loads(text) if text.strip() else None

    def dns_answers(self) -> int | None:
        """How many servers this agent's DNS names; None when it gives no usable answer."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.25)
            try:
                sock.connect((self.address, self.dns_port))
                sock.send(self._probe)
                reply = sock.recv(4096)
            except OSError:
                return None
        _, flags, _, answers = struct.unpack_from("!4H", reply)
        return answers if flags & 0x0F == 0 else None

    def tail(self) -> str:
        """The last lines of the agent's log, under the log's path."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n  ".join([f"the end of {self.log}:", *lines[-TAIL_LINES:]])

    def knows_leader(self) -> bool:
        """True when the agent names a leader; ApiError when it does not answer."""
        return bool(self.http("GET", "/v1/status/leader", timeout_s=1.0))

    def _ready(self, servers: int) -> bool:
        # Without EDNS, Consul's UDP answers hold three records at most.
        return self.knows_leader() and (self.dns_answers() or 0) >= min(servers, 3)

    @staticmethod
    def _holds(condition: Callable[[], object]) -> bool:
        try:
            return bool(condition())
        except ApiError:
            return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._guard.forget(self._process.pid)
            self._process = None
        self._frozen = False


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
