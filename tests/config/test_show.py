"""What is shown can be fed back, and says where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import load
from consulfwd.config.show import as_json, as_yaml, plain

RICH = """
listen: ["127.0.0.1:0", "[fe80::1%eth0]:5300"]
consul:
  domain: "on"
  alt_domains: ["123", a.b]
  datacenter: "no"
  agents:
    - 10.0.0.1
    - {address: "2001:db8::1", http_scheme: https, http_port: 8501,
       ca_file: FOLDER/ca, token_file: "FOLDER/to ken: #1", cert_file: FOLDER/ca,
       key_file: FOLDER/ca, tls_server_name: Server.dc1.consul.}
    - {address: 127.0.0.1, http_socket: "FOLDER/to ken: #2"}
  policy: fastest
  datacenters: {DC2: {agents: [10.2.0.1]}, "3": {agents: ["10.3.0.1:53"], policy: round_robin}}
  reverse: [10.0.0.0/8, fd00::/8]
  quality: {every: 0, max_last_contact: 0.1}
  watch: {enabled: no, max: 0, settle: 10, source: leader, max_connections: 8, max_remote: 0}
recursors: [9.9.9.9, "tls://[2620:fe::fe]:8853#dns.example"]
resolv_conf: "/run/\u00fc 'x' \\"y\\""
forward: {Corp.example.: ["10.0.0.53"], "1e5": ["tls://1.1.1.1#a.b"]}
cache: {size: 0, min_ttl: 1, max_ttl: 2, max_negative_ttl: 3, stale_for: 4}
query: {deadline: 1}
access: {allow: ["::1", 10.0.0.0/8]}
tcp: {max_connections: 1, max_per_client: 2, idle_timeout: 0.1, max_pending: 4}
limits: {per_client: 0, burst: 0.5, slip: 2, exempt: [10.0.0.0/8], own_host: yes, unknown: 0}
cookies: {enabled: yes, secret_file: "FOLDER/secret"}
rebinding: {protect: yes, allow: [Corp.example.], allow_networks: [100.64.0.0/10]}
admin: {socket: off, mode: 0600, group: adm, listen: '[::1]:81', token_file: admin.token}
log: {level: debug, format: json, queries: yes}
user: "1000"
"""


@pytest.mark.parametrize("text", ["", RICH])
@pytest.mark.parametrize("options", [{}, {"recursor": ["auto"], "domain": ["x", "y"]}])
def test_what_is_shown_gives_the_same_settings(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    for name in ("ca", "to ken: #1"):
        (tmp_path / name).write_text("hush-hush")
    (tmp_path / "secret").write_text(32 * "5")
    file, again = tmp_path / "x.yml", tmp_path / "again.yml"
    file.write_text(text.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    loaded = load(file, {}, options)
    again.write_text(as_yaml(loaded), encoding="utf-8")
    assert load(again, {}, {}).settings == loaded.settings
    again.write_text(json.dumps(json.loads(as_json(loaded))["settings"]), encoding="utf-8")
    assert load(again, {}, {}).settings == loaded.settings
    shown = as_yaml(loaded) + as_json(loaded)
    assert "hush-hush" not in shown
    assert 32 * "5" not in shown


CATALOG = """
consul:
  agents: {seeds: [10.0.0.1, {address: "::1", http_port: 1}], from_catalog: yes}
  datacenters:
    dc2: {agents: {from_catalog: true, seeds: [10.2.0.1]}, policy: fastest}
    dc3: {agents: {from_catalog: false, seeds: [10.3.0.1]}}
  watch: {enabled: on}
"""


def test_agents_of_the_catalog_are_shown_as_they_are_written(tmp_path: Path) -> None:
    file, again = tmp_path / "x.yml", tmp_path / "again.yml"
    file.write_text(CATALOG)
    loaded = load(file, {}, {})
    ports = "dns_port: 8600, http_port: 8500, http_scheme: http}"
    shown = as_yaml(loaded)
    assert (
        f"  agents:  # {file}:3\n"
        "    from_catalog: true\n"
        f'    seeds: [{{address: "10.0.0.1", {ports}, {{address: "::1", {ports}]\n'
    ).replace('"::1", dns_port: 8600, http_port: 8500', '"::1", dns_port: 8600, http_port: 1') in (
        shown
    )
    assert (
        f'    dc2: {{agents: {{from_catalog: true, seeds: [{{address: "10.2.0.1", {ports}]}}, '
        "policy: fastest}\n"
        f'    dc3: {{agents: [{{address: "10.3.0.1", {ports}]}}\n'
    ) in shown
    for text in (shown, json.dumps(plain(loaded.settings))):
        again.write_text(text)
        assert load(again, {}, {}).settings == loaded.settings


def test_every_key_is_shown_with_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text(
        "consul:\n  agents: [10.0.0.1]\n  datacenters: {dc2: {agents: [10.2.0.1]}}\n"
        "forward: {corp.example: [10.0.0.53]}\n"
    )
    shown = as_yaml(load(file, {"CONSULFWD_CACHE_SIZE": "5"}, {"listen": ["::1"]}))
    agent = "dns_port: 8600, http_port: 8500, http_scheme: http}"
    assert shown == (
        f"# {file}\n"
        'listen: ["[::1]:53"]  # --listen\n'
        "consul:\n"
        "  domain: consul  # default\n"
        "  alt_domains: []  # default\n"
        "  datacenter: null  # default\n"
        f"  agents:  # {file}:2\n"
        f'    - {{address: "10.0.0.1", {agent}\n'
        "  policy: ordered  # default\n"
        f"  datacenters:  # {file}:3\n"
        f'    dc2: {{agents: [{{address: "10.2.0.1", {agent}]}}\n'
        "  reverse: []  # default\n"
        "  quality:\n"
        "    every: 10.0  # default\n"
        "    max_last_contact: 5.0  # default\n"
        "  watch:\n"
        "    enabled: auto  # default\n"
        "    max: 128  # default\n"
        "    max_connections: 66  # default\n"
        "    max_remote: 8  # default\n"
        "    settle: 0.5  # default\n"
        "    source: agent  # default\n"
        "recursors: auto  # default\n"
        "resolv_conf: /etc/resolv.conf  # default\n"
        f"forward:  # {file}:4\n"
        '  corp.example: ["10.0.0.53:53"]\n'
        "public_resolvers:\n"
        "  also: []  # default\n"
        "  never: []  # default\n"
        "cache:\n"
        "  size: 5  # environment CONSULFWD_CACHE_SIZE\n"
        "  min_ttl: 0  # default\n"
        "  max_ttl: 86400  # default\n"
        "  max_negative_ttl: 60  # default\n"
        "  stale_for: 86400  # default\n"
        "query:\n"
        "  deadline: 2.0  # default\n"
        "  recursor_deadline: null  # default\n"
        "  mixed_case: true  # default\n"
        "access:\n"
        "  allow: null  # default\n"
        "tcp:\n"
        "  max_connections: 256  # default\n"
        "  max_per_client: 64  # default\n"
        "  idle_timeout: 10.0  # default\n"
        "  max_pending: 100  # default\n"
        "limits:\n"
        "  per_client: 1000  # default\n"
        "  per_network: 10000  # default\n"
        "  burst: 5.0  # default\n"
        "  slip: 1  # default\n"
        "  exempt: []  # default\n"
        "  own_host: false  # default\n"
        "  unknown: 500  # default\n"
        "cookies:\n"
        "  enabled: auto  # default\n"
        "  secret_file: null  # default\n"
        "rebinding:\n"
        "  protect: false  # default\n"
        "  allow: []  # default\n"
        "  allow_networks: []  # default\n"
        "admin:\n"
        "  socket: auto  # default\n"
        '  mode: "0660"  # default\n'
        "  group: null  # default\n"
        "  listen: null  # default\n"
        "  token_file: null  # default\n"
        "log:\n"
        "  level: info  # default\n"
        "  format: text  # default\n"
        "  queries: false  # default\n"
        "querylog:\n"
        "  file: null  # default\n"
        "  format: text  # default\n"
        "  sample: 1.0  # default\n"
        "dnstap:\n"
        "  socket: null  # default\n"
        "  sample: 1.0  # default\n"
        "  identity: null  # default\n"
        "  version: null  # default\n"
        "zones: []  # default\n"
        "zones_state: null  # default\n"
        "workers: 1  # default\n"
        "failover: {}  # default\n"
        "failover_checker:\n"
        "  name: null  # default\n"
        "  checks: true  # default\n"
        "  checkers: []  # default\n"
        "  quorum: null  # default\n"
        "  prefix: consulfwd/failover  # default\n"
        "  every: 10.0  # default\n"
        "  max_age: 40.0  # default\n"
        "  parallel: 64  # default\n"
        "  state: null  # default\n"
        "user: null  # default\n"
    )


def test_json_has_settings_and_origins() -> None:
    loaded = load(None, {}, {"agent": ["10.0.0.1"]})
    shown = json.loads(as_json(loaded))
    assert list(shown) == ["settings", "origins", "files"]
    assert shown["settings"] == plain(loaded.settings)
    assert shown["origins"] == loaded.origins
    assert shown["origins"]["consul.agents"] == "--agent"


def test_a_file_name_cannot_break_out_of_its_comment(tmp_path: Path) -> None:
    file = tmp_path / "x\nuser: root #\x1b[1m.yml"
    file.write_text("cache: {size: 5}")
    again = tmp_path / "again.yml"
    loaded = load(file, {}, {})
    again.write_text(as_yaml(loaded))
    assert json.loads(as_json(loaded))["files"] == [rf"{tmp_path}/x\nuser: root #\x1b[1m.yml"]
    settings = load(again, {}, {}).settings
    assert (settings.user, settings.cache.size) == (None, 5)
