"""Sources in, settings with their origins or every problem with its place out."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from consulfwd.config import Loaded, default_path, load
from consulfwd.config.environment import variables
from consulfwd.config.load import MAX_PROBLEMS
from consulfwd.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file read without being named; absent at first, whatever this host has."""
    path = tmp_path / "etc" / "consulfwd.yml"
    # By its module: the package's `load` is the function.
    monkeypatch.setattr(import_module("consulfwd.config.load"), "DEFAULT_PATH", path)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "x.yml"
        path.write_text(text)
        return path

    return write


def problems(
    path: Path | None,
    environ: dict[str, str] | None = None,
    options: dict[str, object] | None = None,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, options or {})
    assert caught.value.exit_code == 2
    return [str(one).removeprefix(f"{path}:") for one in caught.value.problems]


def size(loaded: Loaded) -> int:
    return loaded.settings.cache.size


# Which source wins.

FILE = "listen: [127.0.0.2]\nconsul: {agents: [10.0.0.2], domain: two, alt_domains: [deux]}\n"
ENVIRONMENT = {
    "CONSULFWD_LISTEN": "127.0.0.3",
    "CONSULFWD_CONSUL_AGENTS": "10.0.0.3",
    "CONSULFWD_CONSUL_DOMAIN": "three",
    "CONSULFWD_RECURSORS": "9.9.9.3",
}
OPTIONS: dict[str, object] = {
    "listen": ["127.0.0.4"],
    "agent": ("10.0.0.4",),
    "domain": ["four", "quatre"],
    "recursor": ["9.9.9.4"],
}


@pytest.mark.parametrize(
    ("in_file", "in_environment", "in_options", "number"),
    [
        (False, False, False, 1),
        (True, False, False, 2),
        (False, True, False, 3),
        (True, True, False, 3),
        (False, False, True, 4),
        (True, False, True, 4),
        (False, True, True, 4),
        (True, True, True, 4),
    ],
)
def test_options_over_environment_over_file_over_defaults(
    write: Write, in_file: bool, in_environment: bool, in_options: bool, number: int
) -> None:
    file = write(FILE if in_file else "")
    environ = ENVIRONMENT if in_environment else {}
    options = OPTIONS if in_options else {}
    loaded = load(file, environ, options)
    consul, recursors = loaded.settings.consul, loaded.settings.recursors
    assert loaded.settings.listen[0].host == f"127.0.0.{number}"
    assert consul.agents[0].address == ("127.0.0.1" if number == 1 else f"10.0.0.{number}")
    assert consul.domain == ["consul", "two", "three", "four"][number - 1]
    by_file = ("deux",) if in_file else ()
    assert consul.alt_domains == (("quatre",) if in_options else by_file)
    assert recursors is None or recursors[0].address == f"9.9.9.{number}"
    assert (recursors is None) == (number < 3)
    places = ["default", f"{file}:1", "environment CONSULFWD_LISTEN", "--listen"]
    assert loaded.origins["listen"] == places[number - 1]
    places = ["default", f"{file}:2", "environment CONSULFWD_CONSUL_AGENTS", "--agent"]
    assert loaded.origins["consul.agents"] == places[number - 1]
    assert loaded.path == file


def test_origins_name_every_key_and_the_line_of_the_key(write: Write) -> None:
    file = write("consul:\n  agents:\n    - 10.0.0.1\ncache:\n  size: 5\n  max_ttl: 7\nlog:\n")
    origins = load(file, {"CONSULFWD_CACHE_SIZE": "6"}, {}).origins
    assert origins["consul.agents"] == f"{file}:2"
    assert origins["cache.size"] == "environment CONSULFWD_CACHE_SIZE"
    assert origins["cache.max_ttl"] == f"{file}:6"
    assert origins["log.level"] == "default"
    assert len(origins) == len(variables())


def test_options_not_given_change_nothing() -> None:
    loaded = load(None, {}, {"listen": None, "agent": [], "recursor": (), "domain": ""})
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.path is None


def test_an_option_may_be_one_text() -> None:
    assert load(None, {}, {"domain": "foo"}).settings.consul.domain == "foo"


def test_an_option_that_does_not_exist_is_a_mistake_in_the_program() -> None:
    with pytest.raises(TypeError, match="no such options: agents"):
        load(None, {}, {"agents": ["10.0.0.1"]})


# Which file.


def test_the_default_file_is_read_when_it_exists(no_default_file: Path) -> None:
    assert default_path({}) is None
    no_default_file.parent.mkdir()
    no_default_file.write_text("cache: {size: 7}")
    assert default_path({}) == no_default_file
    loaded = load(None, {}, {})
    assert (loaded.path, size(loaded)) == (no_default_file, 7)


def test_the_environment_names_the_file(no_default_file: Path, write: Write) -> None:
    no_default_file.parent.mkdir()
    no_default_file.write_text("cache: {size: 7}")
    file = write("cache: {size: 8}")
    assert size(load(None, {"CONSULFWD_CONFIG": f" {file} "}, {})) == 8
    assert size(load(None, {"CONSULFWD_CONFIG": ""}, {})) == 7
    assert size(load(no_default_file, {"CONSULFWD_CONFIG": str(file)}, {})) == 7
    assert problems(None, {"CONSULFWD_CONFIG": f"{file}.old"}) == [
        f"{file}.old: there is no such file (check the path)"
    ]


def test_a_default_file_in_a_closed_folder_is_not_passed_over(
    no_default_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    assert default_path({}) == no_default_file


# The environment.


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("CONSULFWD_LISTEN", "127.0.0.1:0, [::1]:53", "listen", "127.0.0.1:0 [::1]:53"),
        ("CONSULFWD_CONSUL_AGENTS", " 10.0.0.1,10.0.0.2\t::1,", "consul.agents", None),
        ("CONSULFWD_CONSUL_DOMAIN", "Foo.", "consul.domain", "foo"),
        ("CONSULFWD_CONSUL_ALT_DOMAINS", "a b", "consul.alt_domains", "a b"),
        ("CONSULFWD_CONSUL_DATACENTER", "no", "consul.datacenter", "no"),
        ("CONSULFWD_CONSUL_DATACENTER", "1", "consul.datacenter", "1"),
        ("CONSULFWD_CONSUL_POLICY", "fastest", "consul.policy", "fastest"),
        ("CONSULFWD_CONSUL_REVERSE", "10.0.0.0/8,fd00::/8", "consul.reverse", None),
        ("CONSULFWD_CONSUL_QUALITY_EVERY", "0", "consul.quality.every", "0.0"),
        ("CONSULFWD_CONSUL_QUALITY_EVERY", "0.5", "consul.quality.every", "0.5"),
        ("CONSULFWD_CONSUL_WATCH_ENABLED", "auto", "consul.watch.enabled", "auto"),
        ("CONSULFWD_CONSUL_WATCH_ENABLED", "off", "consul.watch.enabled", "False"),
        ("CONSULFWD_CONSUL_WATCH_MAX", "1000", "consul.watch.max", "1000"),
        ("CONSULFWD_CONSUL_WATCH_SOURCE", "leader", "consul.watch.source", "leader"),
        ("CONSULFWD_RESOLV_CONF", "/run/resolv.conf", "resolv_conf", "/run/resolv.conf"),
        ("CONSULFWD_CACHE_SIZE", "5", "cache.size", "5"),
        ("CONSULFWD_QUERY_DEADLINE", "1", "query.deadline", "1.0"),
        ("CONSULFWD_QUERY_DEADLINE", "0.5", "query.deadline", "0.5"),
        ("CONSULFWD_LOG_QUERIES", "yes", "log.queries", "True"),
        ("CONSULFWD_ACCESS_ALLOW", "10.0.0.0/8 ::1", "access.allow", "10.0.0.0/8 ::1/128"),
        ("CONSULFWD_USER", "1000", "user", "1000"),
    ],
)
def test_a_variable_gives_a_key(name: str, text: str, key: str, value: str | None) -> None:
    loaded = load(None, {name: text}, {})
    found: object = loaded.settings
    for part in key.split("."):
        found = getattr(found, part)
    shown = " ".join(map(str, found)) if isinstance(found, tuple) else str(found)
    assert value is None or shown == value
    assert loaded.origins[key] == f"environment {name}"


def test_all_agents_of_a_variable_are_taken() -> None:
    agents = load(None, {"CONSULFWD_CONSUL_AGENTS": " 10.0.0.1,10.0.0.2\t::1,"}, {}).settings
    assert [one.name for one in agents.consul.agents] == [
        "10.0.0.1:8600",
        "10.0.0.2:8600",
        "[::1]:8600",
    ]


@pytest.mark.parametrize(
    ("environ", "options"),
    [({}, {"agent": ["10.0.0.3"]}), ({"CONSULFWD_CONSUL_AGENTS": "10.0.0.3"}, {})],
)
def test_agents_given_elsewhere_replace_seeds(
    write: Write, environ: dict[str, str], options: dict[str, object]
) -> None:
    file = write("consul: {agents: {from_catalog: true, seeds: [10.0.0.1]}, domain: x}")
    assert load(file, {}, {}).settings.consul.from_catalog
    consul = load(file, environ, options).settings.consul
    assert ([one.address for one in consul.agents], consul.domain) == (["10.0.0.3"], "x")
    assert not consul.from_catalog


def test_recursors_of_a_variable_may_be_auto(write: Write) -> None:
    file = write("recursors: [9.9.9.9]")
    assert load(file, {"CONSULFWD_RECURSORS": "auto"}, {}).settings.recursors is None
    assert load(file, {}, {"recursor": ["auto"]}).settings.recursors is None


def test_empty_variables_and_those_of_others_are_not_settings() -> None:
    environ = {
        "CONSULFWD_CACHE_SIZE": "",
        "CONSULFWD_LISTEN": " ",
        "CONSULFWD_CONSUL_DIR": "/x",
        "CONSULFWD_DEBIAN_MIRROR": "x",
        "XCONSULFWD_Y": "1",
        "PATH": "/bin",
    }
    assert set(load(None, environ, {}).origins.values()) == {"default"}


def test_every_key_has_a_variable_of_its_own() -> None:
    names = variables()
    assert names["CONSULFWD_TCP_MAX_PER_CLIENT"] == (("tcp", "max_per_client"), "typed")
    assert {name for name, (_, kind) in names.items() if kind == "mapping"} == {
        "CONSULFWD_CONSUL_DATACENTERS",
        "CONSULFWD_FAILOVER",
        "CONSULFWD_FORWARD",
        "CONSULFWD_ZONES",
    }
    assert names["CONSULFWD_USER"] == (("user",), "text")


# What is wrong in the file. The line is the first number, the key follows.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "\nlisten:\n  - 127.0.0.1\n  - 53\n  - 127.0.0.1:70000\n",
            [
                "4: listen[1]: must be text, not the number 53 (such as 127.0.0.1:53)",
                "5: listen[2]: '70000' is not a port (a number from 0 to 65535)",
            ],
        ),
        (
            "listen: [::1:53, x]",
            ["1:10: is not valid YAML: "],
        ),
        ("listen: 127.0.0.1", ["1: listen: must be a list, not the text '127.0.0.1' ("]),
        ("listen: {a: 1}", ["1: listen: must be a list, not a mapping (put it in brackets"]),
        ("listen:", ["1: listen: must be a list, not nothing ("]),
        ("listen: []", ["1: listen: must not be empty (name one at least, or take the key out)"]),
        ("listen: [~]", ["1: listen[0]: must be text, not nothing (such as 127.0.0.1:53)"]),
        (f"listen: [{','.join(f'127.0.0.1:{port}' for port in range(1, 102))}]",
         ["1: listen: is too long (100 at most)"]),
        ("zzz: 1", ["1: zzz: unknown key (known here: listen, consul, recursors, resolv_conf, "]),
        ("Listen: []", ["1: Listen: unknown key (did you mean listen?)"]),
        ("max-ttl: 1", ["1: max-ttl: unknown key ("]),
        ("size: 1", ["1: size: unknown key (did you mean cache.size?)"]),
        ("cache: {max-ttl: 1}", ["1: cache.max-ttl: unknown key (did you mean max_ttl?)"]),
        ("1: 2", ["1: 1: unknown key (known here: "]),
        (
            "consul:\n  datacenters:\n    dc2:\n      agent: [10.0.0.1]\n",
            [
                "3: consul.datacenters.dc2: agents is missing (add it)",
                "4: consul.datacenters.dc2.agent: unknown key (did you mean agents?)",
            ],
        ),
        ("consul: {datacenters: {d.c: {agents: [10.0.0.1]}}}",
         ["1: consul.datacenters.d.c: 'd.c' is not the name of a datacenter (letters, digits, _"]),
        ("consul: {datacenters: {dc2: {agents: [10.0.0.1, 10.0.0.1], policy: x}}}",
         ["1: consul.datacenters.dc2.agents[1]: 10.0.0.1:8600 is in the list already (take one",
          "1: consul.datacenters.dc2.policy: 'x' is not one of ordered, fastest, round_robin ("]),
        ("consul: {datacenters: {DC2: {agents: [10.0.0.1, 10.0.0.1]}}}",
         ["1: consul.datacenters.DC2.agents[1]: 10.0.0.1:8600 is in the list already (take one"]),
        ("consul: {datacenters: [dc2]}", ["1: consul.datacenters: must be a mapping, not a list"]),
        ("consul:\n  agents:\n    - {address: 10.0.0.1, dns_port: 0}\n    - {http_prt: 1}\n    - 5",
         ["3: consul.agents[0].dns_port: 0 is too little (1 is the least)",
          "4: consul.agents[1]: address is missing (add it)",
          "4: consul.agents[1].http_prt: unknown key (did you mean http_port?)",
          "5: consul.agents[2]: must be text, not the number 5 (such as 10.0.0.11)"]),
        ("consul: {agents: [{address: 10.0.0.1, http_scheme: ftp, http_port: 70000}]}",
         ["1: consul.agents[0].http_scheme: 'ftp' is not one of http, https (",
          "1: consul.agents[0].http_port: 70000 is too much (65535 is the most)"]),
        ("consul: {agents: [{address: 10.0.0.1, token_file: 5}]}",
         ["1: consul.agents[0].token_file: must be text, not the number 5 (such as /etc/x)"]),
        ("consul: {agents: [x, y], domain: a..b}",
         ["1: consul.agents[0]: 'x' is not an IP address (a resolver cannot look up names",
          "1: consul.agents[1]: 'y' is not an IP address (a resolver cannot look up names",
          "1: consul.domain: 'a..b' has an empty label (two dots follow each other)"]),
        ("consul:\n  agents:\n    from_catalog: true\n",
         ["2: consul.agents: seeds is missing (add it)"]),
        ("consul:\n  agents:\n    seeds: [10.0.0.1]\n",
         ["2: consul.agents: from_catalog is missing (add it)"]),
        ("consul:\n  agents:\n    from_catalog: 1\n    seeds: []\n",
         ["3: consul.agents.from_catalog: must be true or false, not the number 1 (without quotes)",
          "4: consul.agents.seeds: must not be empty (name one at least)"]),
        ("consul:\n  agents:\n    from_catalog:\n    seeds: 10.0.0.1\n",
         ["3: consul.agents.from_catalog: must be true or false, not nothing (without quotes)",
          "4: consul.agents.seeds: must be a list, not the text '10.0.0.1' (put it in brackets"]),
        ("consul:\n  agents:\n    from_catalog: true\n    seeds: {address: 10.0.0.1}\n",
         ["4: consul.agents.seeds: must be a list, not a mapping (put it in brackets: [...])"]),
        ("consul:\n  agents:\n    from_catalog: true\n    seeds:\n    - x\n    - {dns_port: 1}\n",
         ["5: consul.agents.seeds[0]: 'x' is not an IP address (a resolver cannot look up",
          "6: consul.agents.seeds[1]: address is missing (add it)"]),
        ("consul:\n  agents:\n    from_catalog: true\n    seeds: [10.0.0.1]\n    port: 53\n",
         ["5: consul.agents.port: unknown key (known here: from_catalog, seeds)"]),
        ("consul:\n  agents:\n    from_catalogue: true\n    seeds: [10.0.0.1]\n",
         ["2: consul.agents: from_catalog is missing (add it)",
          "3: consul.agents.from_catalogue: unknown key (did you mean from_catalog?)"]),
        ("consul: {agents: {address: 10.0.0.1}}",
         ["1: consul.agents: must be a list, not a mapping (put it in brackets: [...], or write "
          "{from_catalog: true, seeds: [...]})"]),
        ("consul: {agents: {}}",
         ["1: consul.agents: from_catalog is missing (add it)",
          "1: consul.agents: seeds is missing (add it)"]),
        ("consul:\n  agents:\n    from_catalog: true\n    seeds:\n    - 10.0.0.1\n    - 10.0.0.1\n",
         ["6: consul.agents.seeds[1]: 10.0.0.1:8600 is in the list already (take one of them"]),
        ("consul:\n  agents:\n    from_catalog: no\n    seeds:\n    - 127.0.0.1:53\n",
         ["5: consul.agents.seeds[0]: 127.0.0.1:53 is an address consulfwd listens on: it would"]),
        ("consul:\n  datacenters:\n    DC2:\n      agents:\n        seeds: [10.2.0.1, 10.2.0.1]\n"
         "        from_catalog: on\n",
         ["5: consul.datacenters.DC2.agents.seeds[1]: 10.2.0.1:8600 is in the list already (take"]),
        ("consul:\n  datacenters:\n    dc2:\n      agents: {from_catalog: true}\n",
         ["4: consul.datacenters.dc2.agents: seeds is missing (add it)"]),
        ("consul: {from_catalog: true}", ["1: consul.from_catalog: unknown key (known here: "]),
        ("consul: {quality: {every: 0.4, max_last_contact: 0}}",
         ["1: consul.quality.every: 0.4 is too little (0.5 is the least, 0 turns it off)",
          "1: consul.quality.max_last_contact: 0 is too little (0.1 is the least)"]),
        ("consul: {quality: {every: 3601, max_last_contact: 3601}}",
         ["1: consul.quality.every: 3601 is too much (3600 is the most)",
          "1: consul.quality.max_last_contact: 3601 is too much (3600 is the most)"]),
        ("consul: {quality: {every: -1}}",
         ["1: consul.quality.every: -1 is too little (0.5 is the least, 0 turns it off)"]),
        ("consul: {quality: {every: no}}",
         ["1: consul.quality.every: must be a number, not false (write it in digits"]),
        ("consul: {watch: {enabled: 'true', max: 1001, settle: 0, source: follower}}",
         ["1: consul.watch.enabled: must be auto, true or false, not the text 'true' (without",
          "1: consul.watch.max: 1001 is too much (1000 is the most)",
          "1: consul.watch.settle: 0 is too little (0.1 is the least)",
          "1: consul.watch.source: 'follower' is not one of agent, leader (such as agent)"]),
        ("consul: {watch: {enabled: 1, max: -1, settle: 10.5, source: }}",
         ["1: consul.watch.enabled: must be auto, true or false, not the number 1 (without",
          "1: consul.watch.max: -1 is too little (0 is the least)",
          "1: consul.watch.settle: 10.5 is too much (10 is the most)",
          "1: consul.watch.source: nothing is not one of agent, leader (such as agent)"]),
        ("consul: {watch: {enabled: [auto]}}",
         ["1: consul.watch.enabled: must be auto, true or false, not a list (without quotes)"]),
        ("consul: {watch: on}",
         ["1: consul.watch: must be a mapping, not true (write key: value below it)"]),
        ("consul: {domain: 5}", ["1: consul.domain: must be text, not the number 5 (put it in"]),
        ("consul: {alt_domains: [a, A.]}",
         ["1: consul.alt_domains[1]: a is a Consul domain already (take one of them out)"]),
        ("consul: {alt_domains: [CONSUL]}",
         ["1: consul.alt_domains[0]: consul is a Consul domain already (take one of them out)"]),
        ("consul: {reverse: [10.0.0.0/8, 10.0.0.0/8]}",
         ["1: consul.reverse[1]: 10.0.0.0/8 is in the list already (take one of them out)"]),
        ("recursors: [9.9.9.9, '9.9.9.9:53']",
         ["1: recursors[1]: 9.9.9.9:53 is in the list already (take one of them out)"]),
        ("recursors: [auto, x]",
         ["1: recursors[0]: auto stands alone (take it out, or write recursors: auto)",
          "1: recursors[1]: 'x' is not an IP address (a resolver cannot"]),
        ("recursors: []", ["1: recursors: must not be empty (name one at least, or take the key"]),
        ("recursors: 5", ["1: recursors: must be a list, not the number 5 (put it in brackets"]),
        ("forward: {a b: [9.9.9.9]}",
         ["1: forward.a b: 'a b' has the label 'a b' (letters, digits, _ and inner hyphens are"]),
        ("forward: {corp.example: []}",
         ["1: forward.corp.example: must not be empty (name one at least, or take the key out)"]),
        ("forward: {corp.example: [9.9.9.9, 9.9.9.9]}",
         ["1: forward.corp.example[1]: 9.9.9.9:53 is in the list already (take one of them out)"]),
        ("forward:\n  a.Consul.: [9.9.9.9]\n  consul: [9.9.9.9]\n  consul.example: [9.9.9.9]",
         ["2: forward.a.Consul.: a.consul belongs to the Consul domain consul (names of Consul",
          "3: forward.consul: consul belongs to the Consul domain consul (names of Consul never"]),
        ("consul: {alt_domains: [b.c]}\nforward: {c: [9.9.9.9], a.b.c: [9.9.9.9]}",
         ["2: forward.a.b.c: a.b.c belongs to the Consul domain b.c (names of"]),
        ("cache: {size: 1.5, min_ttl: -1, max_ttl: true, stale_for: ~}",
         ["1: cache.size: must be a whole number, not the number 1.5 (write it in digits",
          "1: cache.min_ttl: -1 is too little (0 is the least)",
          "1: cache.max_ttl: must be a whole number, not true (write it in digits",
          "1: cache.stale_for: must be a whole number, not nothing (write it in digits"]),
        ("cache:\n  max_ttl: 5\n  min_ttl: 6",
         ["3: cache.min_ttl: 6 is more than max_ttl, 5 (lower min_ttl or raise max_ttl)"]),
        ("cache: {min_ttl: 6, max_ttl: x}", ["1: cache.max_ttl: must be a whole number, not the"]),
        ("query: {deadline: 30.5}", ["1: query.deadline: 30.5 is too much (30 is the most)"]),
        ("query: {deadline: 1e999}", ["1: query.deadline: inf is too much (30 is the most)"]),
        ("query: {deadline: .nan}", ["1: query.deadline: must be a number, not the text '.nan'"]),
        ("access: {allow: [10.1.2.3/8, 10.0.0.0/8, 10.0.0.0/8]}",
         ["1: access.allow[0]: '10.1.2.3/8' has bits set behind its prefix (write 10.0.0.0/8)",
          "1: access.allow[2]: 10.0.0.0/8 is in the list already (take one of them out)"]),
        ("access: {allow: []}", ["1: access.allow: must not be empty (name one at least, or"]),
        ("tcp: {idle_timeout: 0, max_pending: 0}",
         ["1: tcp.idle_timeout: 0 is too little (0.1 is the least)",
          "1: tcp.max_pending: 0 is too little (1 is the least)"]),
        ("limits: {per_client: 20, per_network: 10, exempt: [10.0.0.1, 10.0.0.1/32]}",
         ["1: limits.per_network: 10 is less than per_client, 20 (lower per_client or raise",
          "1: limits.exempt[1]: 10.0.0.1/32 is in the list already (take one of them out)"]),
        ("limits: {per_network: -1, burst: 0, slip: 101}",
         ["1: limits.per_network: -1 is too little (0 is the least)",
          "1: limits.burst: 0 is too little (0.1 is the least)",
          "1: limits.slip: 101 is too much (100 is the most)"]),
        ("cookies: {enabled: 2, secret_file: x/y}",
         ["1: cookies.enabled: must be auto, true or false, not the number 2 (without quotes)",
          "1: cookies.secret_file: 'x/y' is not an absolute path (a service has"]),
        ("rebinding: {protect: true, allow: [x.y, X.y.], allow_networks: [10.0.0.1, 10.0.0.1/32]}",
         ["1: rebinding.allow[1]: x.y is in the list already (take one of them out)",
          "1: rebinding.allow_networks[1]: 10.0.0.1/32 is in the list already (take one of"]),
        ("log: {level: 5, format: JSON}",
         ["1: log.level: the number 5 is not one of debug, info, warning, error (such as debug)",
          "1: log.format: 'JSON' is not one of text, json (such as text)"]),
        ("log: [info]", ["1: log: must be a mapping, not a list (write key: value below it)"]),
        ("user: a b", ["1: user: 'a b' is not the name of a user (such as consulfwd)"]),
        ("resolv_conf: x", ["1: resolv_conf: 'x' is not an absolute path (a service has no"]),
        ("user: &x y\nlog: *x", ["1: user: has the anchor &x (", "2: log: is the alias *x (write"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(write: Write, text: str, expected: list[str]) -> None:
    file = write(text)
    found = problems(file)
    assert len(found) == len(expected), found
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start)


def test_listening_where_one_asks_would_be_a_loop(write: Write) -> None:
    text = (
        'listen: ["0.0.0.0:53", "[::]:53", "10.0.0.5:5300", "127.0.0.1:0"]\n'
        "recursors: [127.0.0.9, '[::1]:53', 10.0.0.5, '10.0.0.5:5300', 127.0.0.1:54, "
        "'tls://127.0.0.1:53#a.b']\n"
        "forward: {corp.example: [127.0.0.1]}\n"
        "consul: {agents: [127.0.0.1:53, 127.0.0.1]}\n"
    )
    mend = "is an address consulfwd listens on: it would ask itself (name another server or"
    assert [one.split(" another")[0] + " another server or" for one in problems(write(text))] == [
        f"2: recursors[0]: 127.0.0.9:53 {mend}",
        f"2: recursors[1]: [::1]:53 {mend}",
        f"2: recursors[3]: 10.0.0.5:5300 {mend}",
        f"3: forward.corp.example[0]: 127.0.0.1:53 {mend}",
        f"4: consul.agents[0]: 127.0.0.1:53 {mend}",
    ]


def test_port_0_may_be_listened_on_twice(write: Write) -> None:
    listen = load(write("listen: ['127.0.0.1:0', '127.0.0.1:0']"), {}, {}).settings.listen
    assert len(listen) == 2


def test_files_of_agents_are_not_needed_by_who_does_not_ask_over_http(
    write: Write, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    file = write(
        f"consul:\n  agents:\n  - {{address: 127.0.0.1, token_file: {missing}}}\n"
        "access: {allow: ['::/0', 127.0.0.1]}\n"
    )
    assert len(problems(file)) == 1
    loaded = load(file, {}, {}, over_http=False)
    assert [str(one).partition(" (")[0] for one in loaded.warnings] == [
        f"{file}:3: consul.agents[0].token_file: {missing} cannot be read: "
        "No such file or directory",
        f"{file}:4: access.allow[0]: ::/0 lets the whole Internet ask",
    ]
    assert loaded.settings.consul.agents[0].token_file == missing
    # What contradicts itself is of no use to anybody.
    file.write_text("cache: {min_ttl: 20, max_ttl: 10}")
    with pytest.raises(ConfigError):
        load(file, {}, {}, over_http=False)


def test_the_files_an_agent_needs_must_be_there(write: Write, tmp_path: Path) -> None:
    good, missing = tmp_path / "good", tmp_path / "missing"
    good.write_text("hush-hush")
    agent = (
        "{{address: 10.0.0.{}, http_scheme: https, http_port: 8501, ca_file: {}, token_file: {}}}"
    )
    entries = [agent.format(1, good, good), agent.format(2, missing, tmp_path)]
    text = f"consul:\n  agents: [{entries[0]}]\n  datacenters: {{dc2: {{agents: [{entries[1]}]}}}}"
    mend = "(check the path and its permissions, or take the key out)"
    assert problems(write(text)) == [
        f"3: consul.datacenters.dc2.agents[0].ca_file: {missing} cannot be read: "
        f"No such file or directory {mend}",
        f"3: consul.datacenters.dc2.agents[0].token_file: {tmp_path} is not a file {mend}",
    ]
    settings = load(write(text.split("\n  data")[0]), {}, {}).settings
    assert settings.consul.agents[0].token_file == good
    assert "hush-hush" not in repr(settings)


def test_a_token_that_may_not_be_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything: the refusal is played.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    token = tmp_path / "token"
    token.write_text("x")
    assert problems(write(f"consul: {{agents: [{{address: 10.0.0.1, token_file: {token}}}]}}")) == [
        f"1: consul.agents[0].token_file: {token} may not be read "
        "(check the path and its permissions, or take the key out)"
    ]


def test_certificates_need_https(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "ca"
    file.write_text("x")
    assert problems(write(f"consul: {{agents: [{{address: 10.0.0.1, ca_file: {file}}}]}}")) == [
        "1: consul.agents[0].ca_file: certificates are of no use over http "
        "(add http_scheme: https, or take ca_file out)"
    ]


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_each_file_of_an_agent_must_be_readable(write: Write, tmp_path: Path, key: str) -> None:
    good, missing = tmp_path / "good", tmp_path / "missing"
    good.write_text("x")
    files = {"ca_file": good, "cert_file": good, "key_file": good, key: missing}
    written = ", ".join(f"{name}: {file}" for name, file in files.items())
    agent = f"{{address: 10.0.0.1, http_port: 8501, http_scheme: https, {written}}}"
    assert problems(write(f"consul: {{agents: [{agent}]}}")) == [
        f"1: consul.agents[0].{key}: {missing} cannot be read: No such file or directory "
        "(check the path and its permissions, or take the key out)"
    ]


def test_a_key_needs_its_certificate(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("x")
    agent = f"{{address: 10.0.0.1, http_port: 8501, http_scheme: https, key_file: {file}}}"
    assert problems(write(f"consul: {{agents: [{agent}]}}")) == [
        "1: consul.agents[0].key_file: a key is of no use without its certificate "
        "(add cert_file, or take key_file out)"
    ]


def test_a_token_file_that_is_yet_to_be_written_is_told(write: Write, tmp_path: Path) -> None:
    token = tmp_path / "token"
    path = write(f"consul: {{agents: [{{address: 127.0.0.1, token_file: {token}}}]}}\n")
    token.write_text("x")
    assert load(path, {}, {}).warnings == ()
    token.write_text("")
    # Nobody is to go without DNS for that.
    loaded = load(path, {}, {})
    assert [str(one) for one in loaded.warnings] == [
        f"{path}:1: consul.agents[0].token_file: is empty: the agent is not asked over HTTP until"
        " it holds a token (write it, or take the key out)"
    ]
    assert loaded.passed_over == ()


def test_a_token_is_in_a_file_or_a_variable(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    agent = f"{{address: 127.0.0.1, token_file: {file}, token_variable: A_TOKEN}}"
    assert problems(write(f"consul: {{agents: [{agent}]}}"), {"A_TOKEN": "hush-hush"}) == [
        "1: consul.agents[0].token_variable: token_file holds the token (take one of them out)"
    ]


def test_a_variable_that_holds_the_token_is_looked_at_and_never_kept(write: Write) -> None:
    file = write("consul: {agents: [{address: 10.0.0.1, token_variable: A_TOKEN}]}")
    for environ in ({}, {"A_TOKEN": " "}):
        told = problems(file, dict(environ))
        assert told == [
            "1: consul.agents[0].token_variable: A_TOKEN is not set (set it, or take the key out)"
        ]
    loaded = load(file, {"A_TOKEN": "hush-hush"}, {})
    assert loaded.settings.consul.agents[0].token_variable == "A_TOKEN"
    assert "hush-hush" not in repr(loaded)
    (warning,) = loaded.warnings
    assert str(warning).startswith(
        f"{file}:1: consul.agents[0].token_variable: the token goes to 10.0.0.1 without TLS"
    )


def test_a_credential_is_found_where_the_service_manager_put_it(
    write: Write, tmp_path: Path
) -> None:
    file = write("consul: {agents: [{address: 127.0.0.1, token_file: consul.token}]}")
    where = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    path = "1: consul.agents[0].token_file:"
    mend = "(check the path and its permissions, or take the key out)"
    assert problems(file, where) == [
        f"{path} {tmp_path}/consul.token cannot be read: No such file or directory {mend}"
    ]
    (tmp_path / "consul.token").mkdir()
    assert problems(file, where) == [f"{path} {tmp_path}/consul.token is not a file {mend}"]
    (tmp_path / "consul.token").rmdir()
    (tmp_path / "consul.token").write_text("x")
    agent = load(file, where, {}).settings.consul.agents[0]
    assert agent.token_file == Path("consul.token")


@pytest.mark.parametrize("written", ["''", ".", "..", "./x", "a/b", "../x"])
def test_what_is_neither_a_path_nor_a_credential(write: Write, written: str) -> None:
    (told,) = problems(write(f"consul: {{agents: [{{address: 10.0.0.1, token_file: {written}}}]}}"))
    assert "is not an absolute path (a service has no folder" in told


def test_a_token_over_a_socket_stays_here(write: Write, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    file = write(
        f"consul: {{agents: [{{address: 10.0.0.1, http_socket: /x, token_file: {token}}}]}}"
    )
    assert load(file, {}, {}).warnings == ()


# All sources together.


def test_every_problem_of_every_source_in_their_order(write: Write) -> None:
    file = write("cache: {size: x}\nuser: 5\nlisten: [127.0.0.1]")
    environ = {
        "CONSULFWD_CACHE_SIZE": "5.5",
        "CONSULFWD_FORWARD": "x",
        "CONSULFWD_USER": "a\x07b",
        "CONSULFWD_LISTEN": "127.0.0.1 x",
    }
    options: dict[str, object] = {"agent": ["y"], "domain": ["a", "a"], "recursor": ["\udce4"]}
    look_up = "(a resolver cannot look up names it needs itself: write the address, such as 10"
    expected = [
        "1: cache.size: must be a whole number, not the text 'x'",
        "2: user: must be text, not the number 5",
        "environment CONSULFWD_CACHE_SIZE: cache.size: must be a whole number, not the number 5.5",
        "environment CONSULFWD_FORWARD: forward: cannot be given in a variable "
        "(write forward in the configuration file)",
        f"environment CONSULFWD_LISTEN: listen[1]: 'x' is not an IP address {look_up}",
        "environment CONSULFWD_USER: user: holds a character that cannot be used",
        f"--agent: consul.agents[0]: 'y' is not an IP address {look_up}",
        "--recursor: holds a character that cannot be used",
        "--domain: consul.alt_domains[0]: a is a Consul domain already (take one of them out)",
    ]
    found = problems(file, environ, options)
    assert len(found) == len(expected), found
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start)


def test_a_mistake_is_told_even_where_it_is_overridden(write: Write) -> None:
    file = write("cache: {size: x}")
    assert len(problems(file, {"CONSULFWD_CACHE_SIZE": "5"})) == 1


def test_a_contradiction_between_sources_is_told_at_one_of_them(write: Write) -> None:
    file = write("cache: {max_ttl: 10}\nforward: {a.foo: [9.9.9.9]}")
    assert problems(file, {"CONSULFWD_CACHE_MIN_TTL": "20"}, {"domain": ["foo"]}) == [
        "2: forward.a.foo: a.foo belongs to the Consul domain foo "
        "(names of Consul never go to other servers: take it out)",
        "environment CONSULFWD_CACHE_MIN_TTL: cache.min_ttl: 20 is more than max_ttl, 10 "
        "(lower min_ttl or raise max_ttl)",
    ]


def test_what_is_overridden_cannot_contradict(write: Write) -> None:
    file = write("cache: {min_ttl: 20, max_ttl: 10}")
    assert load(file, {"CONSULFWD_CACHE_MIN_TTL": "5"}, {}).settings.cache.min_ttl == 5


def test_a_broken_value_makes_no_further_problems(write: Write) -> None:
    # Without their broken parts these would contradict each other, or be empty.
    text = "cache: {min_ttl: 90000, max_ttl: 5}\nconsul: {agents: [x], domain: 5}\n"
    text += "forward: {consul: [9.9.9.9]}\nlisten: [{}]\nrecursors: [127.0.0.1]"
    assert [one.split(":")[0] for one in problems(write(text))] == ["1", "2", "2", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(1_000)),
        "listen: [" + ",".join(["x"] * 1_000) + "]",
        "forward: {" + ",".join(f"a{number}.consul: [9.9.9.9]" for number in range(1_000)) + "}",
        "forward: {" + ",".join(f"A{number}.consul: [9.9.9.9]" for number in range(1_000)) + "}",
        "forward: {" + ",".join(f"{one}{n}: [::]" for n in range(500) for one in "aA") + "}",
    ],
)
def test_a_flood_of_problems_is_cut_off(write: Write, text: str) -> None:
    found = problems(write(text.replace("[::]", "['9.9.9.9']")))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "1: there is more to mend after this" or found[-1].startswith("101: ")


def test_a_name_with_odd_characters_can_be_printed(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"x\xe4.yml")
    file.write_text("zzz: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    str(caught.value).encode()


# Warnings.


def test_warnings_are_told_with_their_place(write: Write) -> None:
    file = write(
        "access: {allow: [10.0.0.0/8, 0.0.0.0/0, '::/0']}\n"
        "consul:\n  agents:\n    - {address: 10.0.0.1, http_scheme: https}\n"
        "    - {address: 10.0.0.2, http_scheme: https, http_port: 8500}\n"
    )
    mend = "lets the whole Internet ask (name your own networks unless a firewall does)"
    assert [str(one) for one in load(file, {}, {}).warnings] == [
        f"{file}:1: access.allow[1]: 0.0.0.0/0 {mend}",
        f"{file}:1: access.allow[2]: ::/0 {mend}",
        f"{file}:4: consul.agents[0]: https goes to port 8500, where Consul usually speaks http "
        "(add http_port: 8501, or 8500 if that is right)",
    ]


@pytest.mark.parametrize(
    ("listen", "allow", "told"),
    [
        ("127.0.0.1:53", "10.0.0.0/8", "127.0.0.1:53: 127.0.0.1"),
        ("127.0.0.1:53, '[::1]:53'", "127.0.0.0/8", "[::1]:53: ::1"),
        ("0.0.0.0:53", "10.0.0.0/8", "0.0.0.0:53: 127.0.0.1"),
        ("'[::]:53'", "10.0.0.0/8", "[::]:53: ::1"),
        ("127.0.0.53:53", "127.0.0.1", "127.0.0.53:53: 127.0.0.53"),
        ("127.0.0.1:53, '[::1]:53'", "127.0.0.0/8, '::1'", None),
        ("10.0.0.5:53", "10.0.0.0/8", None),
    ],
)
def test_a_list_that_shuts_out_this_host(
    write: Write, listen: str, allow: str, told: str | None
) -> None:
    file = write(f"listen: [{listen}]\naccess:\n  allow: [{allow}]\n")
    warning = (
        f"{file}:3: access.allow: this host itself may not ask at {told} is not in the list "
        "(add 127.0.0.0/8 and ::1 unless that is meant)"
    )
    assert [str(one) for one in load(file, {}, {}).warnings] == ([warning] if told else [])


def test_secrets_that_cannot_be_used_and_those_that_all_may_read(
    write: Write, tmp_path: Path
) -> None:
    secrets = tmp_path / "cookie.secret"
    settings = write(f"cookies: {{secret_file: {secrets}}}\n")
    place = f"{settings}:1: cookies.secret_file"

    def told() -> list[str]:
        try:
            return [str(one) for one in load(settings, {}, {}).warnings]
        except ConfigError as error:
            return [str(one) for one in error.problems]

    assert told() == [
        f"{place}: {secrets} cannot be read: No such file or directory"
        " (check the path and its permissions)"
    ]
    secrets.write_text("# nothing\n\nhush-hush\n")
    secrets.chmod(0o600)
    assert told() == [
        f"{place}: line 3 is no secret of 128 bits"
        " (write a line of 32 hexadecimal digits, as `openssl rand -hex 16` makes one)"
    ]
    secrets.write_text(32 * "5")
    assert told() == []
    secrets.chmod(0o644)
    assert told() == [
        f"{place}: anybody on this host may read it"
        " (chmod 600 it, and have it belong to the user of the service)"
    ]


def test_exceptions_to_what_is_not_in_force(write: Write) -> None:
    file = write("rebinding: {allow: [corp.example]}\n")
    assert [str(one) for one in load(file, {}, {}).warnings] == [
        f"{file}:1: rebinding.allow: is an exception to what is not in force"
        " (write protect: true, or take it out)"
    ]
    file = write("rebinding: {protect: true, allow: [corp.example]}\n")
    assert load(file, {}, {}).warnings == ()


def test_warnings_about_seeds_name_the_seed(write: Write) -> None:
    file = write(
        "consul:\n  agents:\n    from_catalog: true\n    seeds:\n"
        "      - {address: 10.0.0.1, http_scheme: https}\n"
        "      - {address: 10.0.0.2, http_scheme: https, http_port: 8500}\n"
    )
    assert [str(one) for one in load(file, {}, {}).warnings] == [
        f"{file}:5: consul.agents.seeds[0]: https goes to port 8500, where Consul usually speaks "
        "http (add http_port: 8501, or 8500 if that is right)",
    ]


@pytest.mark.parametrize(
    ("enabled", "most", "told"), [("true", 0, True), ("true", 1, False), ("auto", 0, False)]
)
def test_watches_that_are_wanted_and_cannot_be(
    write: Write, enabled: str, most: int, told: bool
) -> None:
    file = write(f"consul:\n  watch:\n    enabled: {enabled}\n    max: {most}\n")
    warning = (
        f"{file}:4: consul.watch.max: no name can be watched, though watch.enabled is true "
        "(raise it, or write enabled: false)"
    )
    assert [str(one) for one in load(file, {}, {}).warnings] == ([warning] if told else [])


@pytest.mark.parametrize(
    ("enabled", "size", "told"), [("true", 0, True), ("true", 1, False), ("auto", 0, False)]
)
def test_reuse_of_what_is_not_kept(write: Write, enabled: str, size: int, told: bool) -> None:
    file = write(f"consul: {{watch: {{enabled: {enabled}}}}}\ncache:\n  size: {size}\n")
    warning = (
        f"{file}:3: cache.size: nothing is kept that could be reused, though consul.watch.enabled "
        "is true (raise it, or write enabled: false there)"
    )
    assert [str(one) for one in load(file, {}, {}).warnings] == ([warning] if told else [])


@pytest.mark.parametrize(
    ("level", "file", "told"), [("warning", "", True), ("info", "", False), ("error", "/q", False)]
)
def test_lines_about_queries_that_nobody_sees(
    write: Write, level: str, file: str, told: bool
) -> None:
    to = f"querylog: {{file: {file}}}\n" if file else ""
    path = write(f"log:\n  queries: true\n  level: {level}\n{to}")
    warning = (
        f"{path}:3: log.level: lines about queries are not in a log of level warning "
        "(write level: info, or name a querylog.file)"
    )
    assert [str(one) for one in load(path, {}, {}).warnings] == ([warning] if told else [])


def test_variables_that_are_no_settings_are_told_and_passed_over() -> None:
    environ = {
        "CONSULFWD_CACHE_SIZ": "5",
        "CONSULFWD_CACHE_SIZE": "7",
        "CONSULFWD_XYZ": "1",
        "CONSULFWD_\udce4": "1",
    }
    loaded = load(None, environ, {})
    assert size(loaded) == 7
    unknown = "no setting has this variable"
    assert [str(one) for one in loaded.warnings] == [
        f"environment CONSULFWD_CACHE_SIZ: {unknown} (did you mean CONSULFWD_CACHE_SIZE?)",
        f"environment CONSULFWD_XYZ: {unknown} (unset it)",
        rf"environment CONSULFWD_\udce4: {unknown} (unset it)",
    ]


def links(service: str) -> dict[str, str]:
    """What Kubernetes puts into the environment of every pod for a service with two ports."""
    found = {f"{service}_SERVICE_HOST": "10.3.0.9", f"{service}_SERVICE_PORT": "53"}
    for number, kind in ((53, "UDP"), (53, "TCP")):
        port = f"{service}_PORT_{number}_{kind}"
        url = f"{kind.lower()}://10.3.0.9:{number}"
        found |= {f"{service}_SERVICE_PORT_DNS_{kind}": f"{number}", port: url}
        found |= {f"{port}_PROTO": kind.lower(), f"{port}_PORT": f"{number}"}
        found |= {f"{port}_ADDR": "10.3.0.9", f"{service}_PORT": url}
    return found


def test_what_kubernetes_tells_of_a_service_is_one_warning() -> None:
    environ = {**links("CONSULFWD"), **links("CONSULFWD_DNS"), "CONSULFWD_CACHE_SIZE": "7"}
    loaded = load(None, environ, {})
    assert size(loaded) == 7
    assert [str(one) for one in loaded.warnings] == [
        f"environment CONSULFWD_DNS_PORT and {len(links('X')) * 2 - 1} more: no setting: what "
        "Kubernetes tells of a service of that name (set enableServiceLinks: false for the pod)"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [("CONSULFWD_TCP_PORT", "53"), ("CONSULFWD_CONSUL_HTTP_PORT", "8500"), ("CONSULFWD_PORT", "")],
)
def test_what_only_looks_like_that_is_told_by_itself(name: str, text: str) -> None:
    (warning,) = load(None, {name: text}, {}).warnings
    assert str(warning).startswith(f"environment {name}: no setting has this variable (")


@pytest.mark.parametrize(
    ("agents", "told"),
    [
        ("[{address: 10.0.0.1, token_file: TOKEN}]", "[0].token_file: the token goes to 10.0.0.1"),
        ("[127.0.0.1, {address: 'fe80::1%lo', token_file: TOKEN}]",
         "[1].token_file: the token goes to fe80::1%lo"),
        ("[{address: 10.0.0.1, token_file: TOKEN, http_scheme: https, http_port: 8501}]", ""),
        ("[{address: 127.0.0.2, token_file: TOKEN}, {address: '::1', token_file: TOKEN}]", ""),
        ("[10.0.0.1]", ""),
        ("{from_catalog: true, seeds: [{address: 127.0.0.1, token_file: TOKEN}]}",
         ".seeds[0].token_file: the token goes to the agents of the catalog"),
        ("{from_catalog: true, seeds: [{address: 10.0.0.1, http_socket: /x, token_file: TOKEN}]}",
         ".seeds[0].token_file: the token goes to the agents of the catalog"),
        ("{from_catalog: true, seeds: [127.0.0.1, {address: 127.0.0.2, token_file: TOKEN}]}", ""),
        ("{from_catalog: true, seeds: [{address: 127.0.0.1, token_file: TOKEN, "
         "http_scheme: https, http_port: 8501}]}", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["consul.agents", "consul.datacenters.dc2.agents"])
def test_a_token_that_goes_out_in_clear(
    write: Write, tmp_path: Path, path: str, agents: str, told: str
) -> None:
    (tmp_path / "token").write_text("x")
    text = f"consul:\n  agents: {agents}\n"
    if path != "consul.agents":
        text = f"consul:\n  datacenters: {{dc2: {{agents: {agents}}}}}\n"
    file = write(text.replace("TOKEN", str(tmp_path / "token")))
    found = [str(one).partition(" without")[0] for one in load(file, {}, {}).warnings]
    assert found == ([f"{file}:2: {path}{told}"] if told else [])


def test_a_local_agent_as_the_only_seed_is_nothing_to_warn_about(write: Write) -> None:
    file = write("consul: {agents: {from_catalog: true, seeds: [127.0.0.1]}}")
    assert load(file, {}, {}).warnings == ()


def test_nothing_to_warn_about() -> None:
    assert load(None, {}, {}).warnings == ()
