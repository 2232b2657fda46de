"""The HTTP port of a development agent: the endpoints of Consul's API that the project uses.

What belongs here: routes, blocking queries, JSON shapes, HTTP faults. Must not know: DNS, how a
catalog keeps its state. Imports aiohttp, so it is imported only by a cluster that wants HTTP.
Shapes as seen on Consul 1.19.2; see "Catalog", "Health" and "Blocking Queries" in its API docs.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from . import kvhttp, shapes
from .accepting import accept_no_more
from .answers import DnsSettings
from .catalog import Catalog
from .faults import Faults

SERVER_PORT = 8300
_DEFAULT_WAIT_S, _LONGEST_WAIT_S = 300.0, 600.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")

Json = Any
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpAgent:
    """Serves one address. `port` is 0 until the first start and stays the same after it.

    `streaming`: blocking health queries are answered as by an agent with streaming (Consul 1.10
    and later), whose KnownLeader header says false while all is well. `tokens`: whoever shows none
    of these is refused, but for what Consul tells everybody.
    """

    def __init__(
        self,
        name: str,
        address: str,
        catalogs: Mapping[str, Catalog],
        datacenter: str,
        dns: DnsSettings,
        faults: Faults,
        rng: random.Random,
    ) -> None:
        self.name = name
        self.address = address
        self.port = 0
        self.dns_port = 0
        self.streaming = False
        self.requests: deque[str] = deque(maxlen=10_000)
        self.tokens: set[str] | None = None
        self._catalogs = catalogs
        self._datacenter = datacenter
        self._dns = dns
        self._faults = faults
        self._rng = rng
        self._runner: web.AppRunner | None = None
        self._listening: list[socket.socket] = []
        self._busy: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Binds and serves unless it does already. OSError when the port is taken."""
        if self._runner is not None:
            return
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/v1/health/service/{name:.*}", self._health),
                web.get("/v1/health/connect/{name:.+}", self._connect),
                web.get("/v1/health/state/{state}", self._state),
                web.get("/v1/internal/ui/services", self._counts),
                web.get("/v1/catalog/service/{name:.+}", self._catalog_service),
                web.get("/v1/catalog/services", self._catalog_services),
                web.get("/v1/catalog/node/{name:.+}", self._catalog_node),
                web.get("/v1/catalog/nodes", self._catalog_nodes),
                web.get("/v1/catalog/datacenters", self._datacenters),
                web.get("/v1/status/leader", self._leader),
                web.get("/v1/status/peers", self._peers),
                web.get("/v1/agent/self", self._self),
                web.put("/v1/agent/service/maintenance/{id:.+}", self._maintenance),
            ]
        )
        app.add_routes(kvhttp.routes(self._catalogs[self._datacenter].kv, parse_duration))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.address, self.port))
            self.port = sock.getsockname()[1]
            await web.SockSite(runner, sock, backlog=512).start()
        except BaseException:
            sock.close()
            await runner.cleanup()
            raise
        self._runner, self._listening = runner, [sock]

    async def stop(self) -> None:
        """Closes the port and every connection; queries that wait end without a response."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await accept_no_more(self._listening)
        for task in self._busy:
            task.cancel()
        await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Counts the request, applies faults, keeps the task so that `stop()` can end it."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            self.requests.append(request.path_qs)
            await self._faults.running()
            return await self._faulty(request, handler)
        finally:
            self._busy.discard(task)

    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = self._faults.http
        if faults.refuse.strikes():
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        if faults.hang.strikes():
            await asyncio.get_running_loop().create_future()
        if faults.delay.strikes():
            await asyncio.sleep(faults.delay.amount)
        if faults.status.strikes():
            code = int(faults.status.amount)
            return web.Response(status=code, text=f"injected fault: status {code}")
        token = request.headers.get("X-Consul-Token", "")
        public = request.path.startswith("/v1/status/")
        if self.tokens is not None and token not in self.tokens and not public:
            return _error(403, "ACL not found")
        response = await handler(request)
        await self._faults.running()
        return response

    # Endpoints

    async def _health(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not name:
            return _error(400, "Missing service name")
        passing = request.query.get("passing", "false").lower() in ("", "true", "1")
        tags = request.query.getall("tag", [])

        def read(catalog: Catalog) -> Json:
            return [
                {
                    "Node": shapes.node(catalog, each.node),
                    "Service": shapes.service(each),
                    "Checks": [shapes.check(each.node, each.node.health)]
                    + [shapes.check(each.node, check, each) for check in each.checks.values()],
                }
                for each in catalog.service(name)
                if all(each.has_tag(tag) for tag in tags)
                and (each.status == "passing" or not passing)
            ]

        return await self._blocking(request, lambda c: c.service_index(name), read, health=True)

    async def _connect(self, request: web.Request) -> web.Response:
        """No service has a proxy here."""
        name = request.match_info["name"]
        return await self._blocking(request, lambda c: c.service_index(name), lambda _: [])

    async def _state(self, request: web.Request) -> web.Response:
        state = request.match_info["state"]
        return await self._blocking(
            request, lambda c: c.index, lambda c: list(shapes.checks_in(c, state))
        )

    async def _counts(self, request: web.Request) -> web.Response:
        return await self._blocking(request, lambda c: c.index, lambda c: list(shapes.counted(c)))

    async def _catalog_service(self, request: web.Request) -> web.Response:
        name, tags = request.match_info["name"], request.query.getall("tag", [])

        def read(catalog: Catalog) -> Json:
            found = [each for each in catalog.service(name) if all(map(each.has_tag, tags))]
            return [shapes.catalog_entry(catalog, each) for each in found]

        return await self._blocking(request, lambda c: c.service_index(name), read)

    async def _catalog_services(self, request: web.Request) -> web.Response:
        return await self._blocking(request, Catalog.services_index, Catalog.services, empty={})

    async def _catalog_node(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]

        def read(catalog: Catalog) -> Json:
            node = catalog.nodes.get(name.lower())
            if node is None:
                return None
            services = {each.id: shapes.service(each) for each in catalog.on_node(name)}
            return {"Node": shapes.node(catalog, node), "Services": services}

        return await self._blocking(request, lambda c: c.node_index(name), read, empty=None)

    async def _catalog_nodes(self, request: web.Request) -> web.Response:
        def read(catalog: Catalog) -> Json:
            return [shapes.node(catalog, catalog.nodes[name]) for name in sorted(catalog.nodes)]

        return await self._blocking(request, lambda c: c.index, read)

    async def _datacenters(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._catalogs))

    async def _leader(self, request: web.Request) -> web.Response:
        return web.json_response(self._servers()[0])

    async def _peers(self, request: web.Request) -> web.Response:
        return web.json_response(self._servers())

    async def _self(self, request: web.Request) -> web.Response:
        config = {
            "Datacenter": self._datacenter,
            "PrimaryDatacenter": self._datacenter,
            "NodeName": self.name,
            "NodeID": "",
            "Revision": "",
            "Server": True,
            "Version": "consulfwd-dev",
            "BuildDate": "1970-01-01T00:00:01Z",
        }
        debug = {
            "DNSDomain": self._dns.domain + ".",
            "DNSPort": self.dns_port,
            "DNSRecursors": [],
            "DNSNodeTTL": f"{self._dns.node_ttl}s",
            "DNSUDPAnswerLimit": self._dns.udp_answer_limit,
            "DNSEnableTruncate": self._dns.enable_truncate,
            "DNSOnlyPassing": self._dns.only_passing,
        }
        tags = {"dc": self._datacenter, "port": str(SERVER_PORT), "role": "consul"}
        member = {"Name": self.name, "Addr": self.address, "Tags": tags, "Status": 1}
        return web.json_response(
            {"Config": config, "DebugConfig": debug, "Member": member, "Meta": {}}
        )

    async def _maintenance(self, request: web.Request) -> web.Response:
        id, enable = request.match_info["id"], request.query.get("enable")
        if enable is None:
            return _error(400, "Missing value for enable")
        if enable.lower() not in ("true", "false", "1", "0"):
            return _error(400, f"Invalid value for enable: {enable!r}")
        try:
            on = enable.lower() in ("true", "1")
            catalog = self._catalogs[self._datacenter]
            catalog.maintenance(id, on, request.query.get("reason", ""))
        except KeyError:
            return _error(
                404,
                f'Unknown service ID "{id}". Ensure that the service ID is passed, '
                "not the service name.",
            )
        return web.Response()

    async def _blocking(
        self,
        request: web.Request,
        index_of: Callable[[Catalog], int],
        read: Callable[[Catalog], Json],
        *,
        empty: Json = (),
        health: bool = False,
    ) -> web.Response:
        """The answer of `read` once the index is above the `index` asked with, or time is up."""
        query = request.query
        if "stale" in query and "consistent" in query:
            return _error(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
        if not (index_text := query.get("index", "0")).isdecimal():
            return _error(400, "Invalid index")
        if (wait_s := parse_duration(query.get("wait", "0s"))) is None:
            return _error(400, "Invalid wait time")
        catalog = self._catalogs.get(query.get("dc", self._datacenter))
        if catalog is None:
            return _error(500, "No path to datacenter")
        index = int(index_text)
        if index:
            wait_s = min(wait_s or _DEFAULT_WAIT_S, _LONGEST_WAIT_S)
            wait_s += self._rng.random() * wait_s / 16
            await catalog.wait(lambda: index_of(catalog), index, wait_s)
            await self._faults.running()
            if self._faults.http.hang.strikes():
                await asyncio.get_running_loop().create_future()
        forget = self._faults.forgetful or self._faults.http.empty.strikes()
        body = empty if forget else read(catalog)
        filtered = self._faults.http.filtered.strikes()
        if filtered and isinstance(body, list):
            body = body[1:]
        streaming = self.streaming and health and bool(index) and "near" not in query
        reset = self._faults.http.index_reset.strikes()
        # Streaming leaves these two unfilled, and the one about ACLs out, whatever is the matter.
        leaderless = streaming or self._faults.http.no_leader.strikes()
        contact = self._faults.http.last_contact
        behind = contact.amount if not streaming and contact.strikes() else 0
        headers = {
            "X-Consul-Index": "1" if reset else str(index_of(catalog)),
            "X-Consul-KnownLeader": "false" if leaderless else "true",
            "X-Consul-LastContact": f"{1000 * behind:.0f}",
            "X-Consul-Effective-Consistency": "stale" if "stale" in query else "leader",
            "X-Consul-Query-Backend": "streaming" if streaming else "blocking-query",
        }
        if filtered and not streaming:
            headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
        return web.json_response(body, headers=headers)

    def _servers(self) -> list[str]:
        # Raft has nobody who was merely registered, which is marked as for consul-esm.
        found = self._catalogs[self._datacenter].service("consul")
        servers = [one for one in found if "external-node" not in one.node.meta]
        return [f"{one.node.address}:{one.port}" for one in servers]


def parse_duration(text: str) -> float | None:
    """Seconds of a Go duration such as `30s`, `1m30s`, `250ms`; None when it is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(text))


def _error(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
