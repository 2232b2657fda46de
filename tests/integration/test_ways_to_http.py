"""Real Consul whose HTTP is a unix socket, or wants a certificate: what is known by it, and how."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, binary_version
from consulfwd.errors import ConsulError
from tests.consul import certificates
from tests.integration.asking import ask, data
from tests.integration.conftest import generation
from tests.integration.places import addresses
from tests.integration.served import SERVE, Served, serve
from tests.loopback import free_port

NETWORK = 61
NAME = "consul.service.consul"


class Site(NamedTuple):
    """One server, whose HTTP is at a port for the test, and at these two for who must know how."""

    cluster: RealCluster
    socket: Path
    https_port: int
    certificates: Path

    @property
    def address(self) -> str:
        return self.cluster.servers[0].address


@pytest.fixture(scope="module")
def site(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ways")
    (address,) = addresses(NETWORK, 11)
    socket, port = folder / "http.sock", free_port(address)
    files = certificates.make(folder)
    tls = {
        "ca_file": str(files / "ca.pem"),
        "cert_file": str(files / "agent.pem"),
        "key_file": str(files / "agent.key"),
        "verify_incoming": True,
    }
    modern = generation(binary_version(consul_binary)) == "modern"
    extra = {
        "addresses": {"http": f"{address} unix://{socket}"},
        "ports": {"https": port},
        **({"tls": {"https": tls}} if modern else tls),
    }
    # Consul's variables do not say where DNS is: it is where it usually is.
    with RealCluster(
        consul_binary, [address], workdir=folder / "cluster", dns_port=8600, extra=extra
    ) as cluster:
        yield Site(cluster, socket, port, files)


def leader(agent: Agent) -> str:
    """Who leads, as an agent says over HTTP; or why it does not say it."""

    async def asked() -> str:
        client = Client(agent)
        try:
            return str((await client.get("/v1/status/leader", timeout=10)).json())
        except ConsulError as error:
            return error.reason
        finally:
            await client.close()

    return asyncio.run(asked())


def test_http_over_a_unix_socket(site: Site, guard: Guard, tmp_path: Path) -> None:
    server = site.cluster.servers[0]
    agent = Agent(address=site.address, dns_port=server.dns_port, http_socket=site.socket)
    assert leader(agent) == f"{site.address}:{server.server_port}"
    entry = {"address": site.address, "dns_port": server.dns_port, "http_socket": str(site.socket)}
    section = {"agents": [{**entry, "http_port": 1}], "quality": {"every": 0.5}}
    with serve({"consul": section, "log": {"level": "debug"}}, tmp_path, guard) as served:
        # What is asked twice is watched, over the socket: there is nothing at the port.
        served.wait_until(lambda: watches(served), "watching")
        assert data(ask(served.at, NAME)) == {site.address}
        assert "cannot be asked over HTTP" not in served.said()


def watches(served: Served) -> bool:
    """Whether a name that is asked again and again is watched by now."""
    ask(served.at, NAME)
    os.kill(served.pid, signal.SIGUSR1)
    return bool(re.search(r"watch of .*consul at .*: armed", served.said()))


def test_https_that_wants_a_certificate(site: Site) -> None:
    server, files = site.cluster.servers[0], site.certificates
    bare = Agent(
        address=site.address,
        dns_port=server.dns_port,
        http_port=site.https_port,
        http_scheme="https",
        ca_file=files / "ca.pem",
        tls_server_name=certificates.AGENT,
    )
    known = bare.replace(cert_file=files / "client.pem", key_file=files / "client.key")
    assert leader(known) == f"{site.address}:{server.server_port}"
    assert leader(known.replace(tls_server_name=None)).startswith("certificate refused: ")
    stranger = bare.replace(cert_file=files / "stranger.pem", key_file=files / "stranger.key")
    for refused in (bare, stranger):
        # It may close before it has read all, and what it said is lost then (RFC 9293 section 3.6).
        assert leader(refused).startswith(("TLS refused there: ", "connection reset"))


def test_consul_s_own_variables_lead_to_https(site: Site, guard: Guard, tmp_path: Path) -> None:
    files = site.certificates
    environ = {
        "CONSUL_HTTP_ADDR": f"{site.address}:{site.https_port}",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_CACERT": str(files / "ca.pem"),
        "CONSUL_CLIENT_CERT": str(files / "client.pem"),
        "CONSUL_CLIENT_KEY": str(files / "client.key"),
        "CONSUL_TLS_SERVER_NAME": certificates.AGENT,
    }
    section = {"quality": {"every": 0.5}}
    # What TLS still takes leave of when the process ends is the system's to close: it is not told.
    how = {"environ": environ, "python": SERVE}
    with serve({"consul": section}, tmp_path, guard, **how) as served:
        served.wait_until(lambda: watches(served), "watching")
        assert data(ask(served.at, NAME)) == {site.address}
        assert "cannot be asked over HTTP" not in served.said()
