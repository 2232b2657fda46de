"""The ways to an agent's HTTP: client certificates, the name in its certificate, a unix socket."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.errors import ConsulError
from tests.consul.certificates import AGENT
from tests.consul.server import Raw
from tests.consul.strict import Strict
from tests.loopback import OWN
from tests.net.world import nothing_left_behind


async def outcome(agent: Agent) -> str:
    """What a request comes to: the body of the reply, or the reason why there is none."""
    client = Client(agent)
    try:
        reply = await client.get("/v1/status/leader", timeout=5)
    except ConsulError as error:
        return f"{error.status or ''}{error.reason}"
    finally:
        await client.close()
    return reply.body.decode()


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def strict(authority: Path, request: pytest.FixtureRequest) -> Iterator[Strict]:
    """A server that lets nobody in without a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "agent.pem", authority / "agent.key")
    context.load_verify_locations(authority / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = context.minimum_version = ssl.TLSVersion[request.param]
    with Strict(context) as server:
        yield server


def shown(server: Strict, authority: Path, cert: str, key: str = "") -> Agent:
    """The agent as the settings have it that show this certificate."""
    return server.agent.replace(
        ca_file=authority / "ca.pem",
        cert_file=authority / cert,
        key_file=authority / key if key else None,
        tls_server_name=AGENT,
    )


async def test_a_certificate_is_shown_to_who_wants_one(strict: Strict, authority: Path) -> None:
    async with nothing_left_behind():
        assert await outcome(shown(strict, authority, "client.pem", "client.key")) == "[]"
        assert await outcome(shown(strict, authority, "both.pem")) == "[]"
    assert strict.requests == 2


async def test_without_one_the_agent_says_no(strict: Strict, authority: Path) -> None:
    agent = strict.agent.replace(ca_file=authority / "ca.pem", tls_server_name=AGENT)
    reason = await outcome(agent)
    # Which alert it is is up to the version of TLS.
    assert reason.startswith("TLS refused there: ")
    assert strict.requests == 0


async def test_one_of_a_stranger_is_refused(strict: Strict, authority: Path) -> None:
    reason = await outcome(shown(strict, authority, "stranger.pem", "stranger.key"))
    assert reason == "TLS refused there: unknown ca (cert_file is what it is shown)"


async def test_the_name_in_the_agent_s_certificate_is_what_counts(
    strict: Strict, authority: Path
) -> None:
    agent = shown(strict, authority, "both.pem")
    reason = await outcome(agent.replace(tls_server_name=None))
    assert reason.startswith("certificate refused: IP address mismatch")
    reason = await outcome(agent.replace(tls_server_name="server.dc2.consul"))
    assert reason.startswith("certificate refused: Hostname mismatch")
    assert strict.requests == 0


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        ("client.pem", "agent.key", "{key} is not the key of {cert}"),
        ("client.pem", "locked.key", "{key} is encrypted: write it without a passphrase"),
        ("client.pem", "", "{cert} holds no private key"),
        ("client.pem", "ca.pem", "{key} holds no private key"),
        ("client.key", "client.key", "{cert} holds no certificate"),
        ("none.pem", "client.key", "{cert} cannot be read: no such file or directory"),
        ("client.pem", "none.key", "{key} cannot be read: no such file or directory"),
        ("cut.pem", "client.key", "{cert} and {key} cannot be used: "),
    ],
)
async def test_what_cannot_be_shown_is_told_in_plain_words(
    authority: Path, cert: str, key: str, reason: str
) -> None:
    (authority / "cut.pem").write_text((authority / "client.pem").read_text()[:200])
    raw = Raw()
    async with raw.serving():
        agent = raw.agent.replace(http_scheme="https")
        raw.tls = None
        agent = agent.replace(
            ca_file=authority / "ca.pem",
            cert_file=authority / cert,
            key_file=authority / key if key else None,
        )
        found = await outcome(agent)
    wanted = reason.format(cert=authority / cert, key=authority / (key or cert))
    assert found == wanted or (wanted.endswith(": ") and found.startswith(wanted))
    assert raw.connections == 0


async def test_a_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "5ecre7\n")
    raw = Raw()
    raw.socket = tmp_path / "http.sock"
    async with nothing_left_behind(), raw.serving():
        agent = raw.agent.replace(token_variable="A_TOKEN")
        client = Client(agent)
        for _ in range(3):
            reply = await client.get("/v1/kv/x", {"stale": ""}, timeout=5)
            assert (reply.agent, reply.body) == (f"{OWN}:1", b"[]")
        await client.close()
    assert raw.connections == 1
    request, *headers = raw.requests[0]
    assert request == "GET /v1/kv/x?stale= HTTP/1.1"
    assert {"Host: localhost", "X-Consul-Token: 5ecre7"} <= set(headers)


async def test_a_unix_socket_nobody_serves(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    agent = Agent(address=OWN, http_port=1, http_socket=path)
    assert await outcome(agent) == "no such file or directory"
    path.write_text("")
    assert await outcome(agent) == "connection refused"


@pytest.mark.parametrize("value", ["a\nb", "a\udcffb", "t" * 5000])
async def test_a_variable_that_holds_no_token(
    raw: Raw, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("A_TOKEN", value)
    agent = raw.agent.replace(token_variable="A_TOKEN")
    assert await outcome(agent) == "A_TOKEN holds no token"
    assert raw.requests == []


async def test_credentials_of_the_service_manager(
    raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = raw.agent.replace(token_file="consul.token")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert (await outcome(agent)).startswith("consul.token is the name of a credential, and none")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "consul.token"
    assert await outcome(agent) == f"{file} cannot be read: no such file or directory"
    file.write_text("handed\n")
    assert await outcome(agent) == "[]"
    assert "X-Consul-Token: handed" in raw.requests[0]
