"""Consul's own variables: a default for the one agent they describe, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent, load
from consulfwd.config.show import as_json, as_yaml
from consulfwd.errors import ConfigError

TOKEN = "5ecre7-70ken"
DEFAULT = Agent(address="127.0.0.1")


@pytest.fixture(autouse=True)
def no_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By its module: the package's `load` is the function.
    monkeypatch.setattr(import_module("consulfwd.config.load"), "DEFAULT_PATH", tmp_path / "none")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """Make a file that can be read, and return its path."""

    def made(name: str) -> str:
        (tmp_path / name).write_text("x")
        return str(tmp_path / name)

    return made


def agents(environ: dict[str, str]) -> tuple[Agent, ...]:
    loaded = load(None, environ, {})
    assert TOKEN not in as_yaml(loaded) + as_json(loaded) + repr(loaded)
    return loaded.settings.consul.agents


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(None, environ, {})
    assert TOKEN not in str(caught.value)
    return [str(one) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("10.0.0.9:8501", {"address": "10.0.0.9", "http_port": 8501}),
        (" http://10.0.0.9:8500/ ", {"address": "10.0.0.9"}),
        ("HTTPS://10.0.0.9:8501",
         {"address": "10.0.0.9", "http_port": 8501, "http_scheme": "https"}),
        # Where Consul's command goes too.
        ("10.0.0.9", {"address": "10.0.0.9", "http_port": 80}),
        ("https://10.0.0.9", {"address": "10.0.0.9", "http_port": 443, "http_scheme": "https"}),
        ("[2001:db8::9]:8500", {"address": "2001:db8::9"}),
        ("http://[fe80::1%eth0]:8500", {"address": "fe80::1%eth0"}),
        ("http://[fe80::1%25eth0]:8500", {"address": "fe80::1%eth0"}),
        ("localhost:8500", {}),
        ("unix:///run/consul/http.sock", {"http_socket": Path("/run/consul/http.sock")}),
    ],
)  # fmt: skip
def test_the_address_says_whom_to_ask(address: str, fields: dict[str, Any]) -> None:
    environ = {"CONSUL_HTTP_ADDR": address}
    # Its DNS is asked at the same host.
    assert agents(environ) == (DEFAULT.replace(**fields),)
    assert load(None, environ, {}).origins["consul.agents"] == "environment CONSUL_HTTP_ADDR"


@pytest.mark.parametrize(
    ("secure", "address", "scheme"),
    [
        ("true", "10.0.0.9:8501", "https"),
        # TLS that was asked for is never left out.
        ("1", "http://10.0.0.9:8501", "https"),
        ("T", "https://10.0.0.9:8501", "https"),
        ("false", "10.0.0.9:8501", "http"),
        ("0", "https://10.0.0.9:8501", "https"),
        ("", "10.0.0.9:8501", "http"),
    ],
)
def test_tls(secure: str, address: str, scheme: str) -> None:
    environ = {"CONSUL_HTTP_SSL": secure, "CONSUL_HTTP_ADDR": address}
    (agent,) = agents(environ)
    assert (agent.http_scheme, agent.http_port) == (scheme, 8501)


def test_certificates_are_for_https_alone(file: Callable[[str], str]) -> None:
    environ = {
        "CONSUL_CACERT": file("ca.pem"),
        "CONSUL_CLIENT_CERT": file("cert.pem"),
        "CONSUL_CLIENT_KEY": file("key.pem"),
        "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
    }
    assert agents(environ) == (DEFAULT,)
    assert load(None, environ, {}).origins["consul.agents"] == "default"
    assert agents({**environ, "CONSUL_HTTP_ADDR": "10.0.0.9:8500"}) == (
        Agent(address="10.0.0.9"),
    )
    environ["CONSUL_HTTP_ADDR"] = "https://10.0.0.9:8501"
    assert agents(environ) == (
        Agent(
            address="10.0.0.9",
            http_port=8501,
            http_scheme="https",
            ca_file=Path(environ["CONSUL_CACERT"]),
            cert_file=Path(environ["CONSUL_CLIENT_CERT"]),
            key_file=Path(environ["CONSUL_CLIENT_KEY"]),
            tls_server_name="server.dc1.consul",
        ),
    )
    assert load(None, environ, {}).origins["consul.agents"] == (
        "environment CONSUL_HTTP_ADDR, CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, "
        "CONSUL_TLS_SERVER_NAME"
    )


def test_a_token_is_for_the_agent_of_this_host_unless_told_otherwise(
    file: Callable[[str], str],
) -> None:
    token = {"CONSUL_HTTP_TOKEN": TOKEN}
    assert agents(token) == (DEFAULT.replace(token_variable="CONSUL_HTTP_TOKEN"),)
    assert load(None, token, {}).origins["consul.agents"] == "environment CONSUL_HTTP_TOKEN"
    # Consul's command takes the file, where both are given.
    both = {**token, "CONSUL_HTTP_TOKEN_FILE": file("token")}
    assert agents(both) == (DEFAULT.replace(token_file=Path(both["CONSUL_HTTP_TOKEN_FILE"])),)


def test_what_is_shown_can_be_fed_back(tmp_path: Path) -> None:
    environ = {"CONSUL_HTTP_ADDR": "unix:///run/consul.sock", "CONSUL_HTTP_TOKEN": TOKEN}
    loaded = load(None, environ, {})
    again = tmp_path / "again.yml"
    again.write_text(as_yaml(loaded))
    assert load(again, environ, {}).settings == loaded.settings


CONSUL = {
    "CONSUL_HTTP_ADDR": "https://10.0.0.9:8501",
    "CONSUL_HTTP_TOKEN": TOKEN,
    "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
}


@pytest.mark.parametrize("consul", [CONSUL, {"CONSUL_HTTP_ADDR": "consul.example:8500"}])
def test_whoever_names_agents_wins_wholly(tmp_path: Path, consul: dict[str, str]) -> None:
    path = tmp_path / "x.yml"
    one, other = Agent(address="10.0.0.1"), Agent(address="10.0.0.2")
    path.write_text("consul: {agents: [10.0.0.1]}")
    loaded = load(path, consul, {})
    assert loaded.settings.consul.agents == (one,)
    assert (loaded.origins["consul.agents"], loaded.warnings) == (f"{path}:1", ())
    path.write_text("consul: {agents: {from_catalog: true, seeds: [10.0.0.1]}}")
    assert load(path, consul, {}).settings.consul.agents[0] == one
    path.write_text("consul: {domain: x}")
    named = {**consul, "CONSULFWD_CONSUL_AGENTS": "10.0.0.2"}
    assert load(path, named, {}).settings.consul.agents == (other,)
    assert load(path, consul, {"agent": ["10.0.0.2"]}).settings.consul.agents == (other,)


def test_a_file_without_agents_leaves_them_to_consul_s_variables(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("consul:\n  domain: x\n  datacenters: {dc2: {agents: [10.2.0.1]}}\n")
    consul = load(path, CONSUL, {}).settings.consul
    assert [one.address for one in consul.agents] == ["10.0.0.9"]
    # Nobody else's agents are meant.
    assert consul.datacenters["dc2"].agents == (Agent(address="10.2.0.1"),)
    # Agents that are wrong are told, and nothing else in their place.
    path.write_text("consul: {agents: [x]}")
    with pytest.raises(ConfigError) as caught:
        load(path, {"CONSUL_HTTP_ADDR": "ftp://x"}, {})
    assert [one.where for one in caught.value.problems] == [f"{path}:1: consul.agents[0]"]


INSTEAD = "; or set consul.agents, which counts instead)"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"CONSUL_HTTP_ADDR": "consul.example:8500"},
         "environment CONSUL_HTTP_ADDR: 'consul.example' is not an IP address (a resolver cannot "
         "look up names it needs itself: write the address, such as 10.0.0.11" + INSTEAD),
        ({"CONSUL_HTTP_ADDR": "ftp://10.0.0.9"},
         "environment CONSUL_HTTP_ADDR: 'ftp://' is not how Consul is asked (write host:port, "
         "http://host:port, https://host:port or unix:///path" + INSTEAD),
        ({"CONSUL_HTTP_ADDR": "10.0.0.9:http"},
         "environment CONSUL_HTTP_ADDR: 'http' is not a port (a number from 1 to 65535" + INSTEAD),
        ({"CONSUL_HTTP_ADDR": "https://10.0.0.9:8501/consul"},
         "environment CONSUL_HTTP_ADDR: has a path (Consul is asked at the root: write host:port"
         + INSTEAD),
        ({"CONSUL_HTTP_ADDR": f"https://a:{TOKEN}@10.0.0.9:8501"},
         "environment CONSUL_HTTP_ADDR: holds a user, or a password (write host:port" + INSTEAD),
        ({"CONSUL_HTTP_ADDR": "unix://run/consul.sock"},
         "environment CONSUL_HTTP_ADDR: 'run/consul.sock' is not an absolute path (a service has "
         "no folder of its own: start it with /" + INSTEAD),
        ({"CONSUL_HTTP_ADDR": "10.0.0.9\x07"},
         "environment CONSUL_HTTP_ADDR: holds a character that cannot be used (take out control "
         "characters and line ends" + INSTEAD),
        ({"CONSUL_HTTP_SSL": "yes"},
         "environment CONSUL_HTTP_SSL: 'yes' is not true or false (write true or false" + INSTEAD),
        ({"CONSUL_HTTP_TOKEN": f"{TOKEN}\nX-Other: 1"},
         "environment CONSUL_HTTP_TOKEN: consul.agents[0].token_variable: CONSUL_HTTP_TOKEN holds "
         "no token (set it, or take the key out)"),
        ({"CONSUL_HTTP_TOKEN_FILE": "token"},
         "environment CONSUL_HTTP_TOKEN_FILE: 'token' is not an absolute path (a service has no "
         "folder of its own: start it with /" + INSTEAD),
        ({"CONSUL_HTTP_TOKEN_FILE": "/nonexistent"},
         "environment CONSUL_HTTP_TOKEN_FILE: consul.agents[0].token_file: /nonexistent cannot be "
         "read: No such file or directory (check the path and its permissions, or take the key "
         "out)"),
        ({"CONSUL_HTTP_SSL": "1", "CONSUL_TLS_SERVER_NAME": "a b"},
         "environment CONSUL_TLS_SERVER_NAME: consul.agents[0].tls_server_name: 'a b' has the "
         "label 'a b' (letters, digits, _ and inner hyphens are allowed)"),
        ({"CONSUL_HTTP_SSL": "1", "CONSUL_HTTP_ADDR": "unix:///run/x"},
         "environment CONSUL_HTTP_ADDR: consul.agents[0].http_socket: a unix socket has no TLS "
         "(take http_scheme out, or http_socket)"),
        ({"CONSUL_HTTP_ADDR": "127.0.0.1:8500", "CONSULFWD_LISTEN": "127.0.0.1:8600"},
         "environment CONSUL_HTTP_ADDR: consul.agents[0]: 127.0.0.1:8600 is an address consulfwd "
         "listens on: it would ask itself (name another server or another port)"),
    ],
)  # fmt: skip
def test_one_that_is_malformed_is_one_error_that_names_it(
    environ: dict[str, str], told: str
) -> None:
    assert problems(environ) == [told]


def test_https_without_a_port_of_its_own_is_told() -> None:
    (warning,) = load(None, {"CONSUL_HTTP_SSL": "true"}, {}).warnings
    assert str(warning).startswith(
        "environment CONSUL_HTTP_SSL: consul.agents[0]: https goes to port 8500, where Consul"
    )


def test_others_of_consul_s_change_nothing() -> None:
    environ = {"CONSUL_HTTP_ADDR": "", "CONSUL_NAMESPACE": "x", "CONSUL_GRPC_ADDR": "x"}
    loaded = load(None, environ, {})
    assert set(loaded.origins.values()) == {"default"}


PASSED_OVER = {
    "CONSUL_HTTP_AUTH": f"admin:{TOKEN}",
    "CONSUL_HTTP_SSL_VERIFY": "false",
    "CONSUL_CAPATH": "/etc/ssl/certs",
    "CONSUL_NAMESPACE": "team-a",
    "CONSUL_PARTITION": "p1",
}


def test_that_others_are_not_heeded_is_told() -> None:
    def told(environ: dict[str, str]) -> list[str]:
        loaded = load(None, environ, {})
        assert loaded.passed_over == loaded.warnings
        assert TOKEN not in str(loaded.warnings)
        return [str(one).partition(" is not heeded: ")[0] for one in loaded.warnings]

    tls = {"CONSUL_HTTP_ADDR": "https://10.0.0.9:8501"}
    where = [f"environment {name}:" for name in PASSED_OVER]
    assert told(PASSED_OVER | tls) == where
    (verify,) = load(None, tls | {"CONSUL_HTTP_SSL_VERIFY": "0"}, {}).warnings
    assert str(verify) == (
        "environment CONSUL_HTTP_SSL_VERIFY: is not heeded: certificates are always verified"
        " (CONSUL_CACERT says who may sign them, CONSUL_TLS_SERVER_NAME for which name they are)"
    )
    # Where there are no certificates, nor where they ask for what is so anyway.
    assert told(PASSED_OVER) == [where[0], *where[3:]]
    assert told({"CONSUL_NAMESPACE": "default", "CONSUL_HTTP_AUTH": " "}) == []
    assert told(tls | {"CONSUL_HTTP_SSL_VERIFY": "true"}) == []


def test_nor_is_it_told_where_none_of_them_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("consul: {agents: [10.0.0.3]}\n")
    assert load(path, PASSED_OVER, {}).warnings == ()


def test_a_token_in_the_place_of_its_file_is_not_shown() -> None:
    token = "9d1f6a52-0B7e-4c11-8a34-0f2c6f1f7c55"
    with pytest.raises(ConfigError) as caught:
        load(None, {"CONSUL_HTTP_TOKEN_FILE": token}, {})
    assert "looks like a token itself, which is not shown here" in str(caught.value)
    assert token not in str(caught.value)
