"""An agent that says over HTTP what a test wants said, by path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from consulfwd.config import Settings
from tests.audit.sites import entry
from tests.loopback import OWN

SELF = {
    "Config": {"NodeName": "s1", "Server": True, "Datacenter": "dc1"},
    "DebugConfig": {
        "ACLsEnabled": True,
        "ACLResolverSettings": {"ACLDefaultPolicy": "deny"},
        "HTTPAddrs": ["tcp://127.0.0.1:8500"],
        "TLS": {"InternalRPC": {"VerifyOutgoing": True, "VerifyIncoming": True}},
    },
    "Stats": {"serf_lan": {"encrypted": "true"}},
}


class FakeAgent:
    """Answers by path: a status with a text, or what is sent as JSON; 404 for all else."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.headers: dict[str, str] = {"X-Consul-Query-Backend": "blocking-query"}
        self.asked: list[str] = []
        self.port = 0

    def sound(self) -> None:
        """Say what a sound site says, of three servers and a service on three nodes."""
        ids = [{"ID": str(n), "Node": f"s{n}", "Address": f"10.{n}.0.1:8300", "Voter": True}
               for n in (1, 2, 3)]  # fmt: skip
        well = {"SerfStatus": "alive", "Healthy": True, "LastContact": "1ms", "LastIndex": 9}
        self.replies |= {
            "/v1/agent/self": SELF,
            "/v1/catalog/services": {"consul": [], "web": []},
            "/v1/catalog/nodes": [
                {"Node": f"s{n}", "Address": f"10.{n}.0.1", "Meta": {"rack": f"r{n}"}}
                for n in (1, 2, 3)
            ],
            "/v1/catalog/datacenters": ["dc1"],
            "/v1/connect/intentions": [],
            "/v1/status/leader": "10.1.0.1:8300",
            "/v1/status/peers": ["10.1.0.1:8300"],
            "/v1/operator/raft/configuration": {"Servers": ids},
            "/v1/operator/autopilot/health": {"Servers": [one | well for one in ids]},
        }
        self.serve("web", *((f"s{n}", f"10.{n}.0.1") for n in (1, 2, 3)))

    def serve(self, name: str, *on: tuple[str, str], **fields: Any) -> None:
        self.replies["/v1/catalog/services"][name] = []
        path = f"/v1/health/service/{name}"
        self.replies[path] = [entry(name, node, at, **fields) for node, at in on]

    @contextmanager
    def serving(self) -> Iterator[FakeAgent]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                fake.asked.append(path)
                found = fake.replies.get(path, (404, "nothing"))
                status, body = found if isinstance(found, tuple) else (200, found)
                data = body.encode() if isinstance(body, str) and status != 200 else None
                data = json.dumps(body).encode() if data is None else data
                self.send_response(status)
                for name, value in fake.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer((OWN, 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def given(self, *others: int) -> dict[str, Any]:
        """Return settings as a file has them: this agent, and others at these ports."""
        ports = [self.port, *others]
        agents = [{"address": OWN, "dns_port": n, "http_port": port}
                  for n, port in enumerate(ports, 1)]  # fmt: skip
        return {"consul": {"agents": agents}, "recursors": ["192.0.2.1", "198.51.100.1"]}

    def settings(self, *others: int) -> Settings:
        return Settings(**self.given(*others))
