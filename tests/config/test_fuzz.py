"""Whatever a file, the environment or the options hold: settings or ConfigError, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consulfwd.config import load
from consulfwd.config.addresses import Agent, FromCatalog
from consulfwd.config.environment import variables
from consulfwd.config.keys import keys_of, leaves
from consulfwd.config.settings import Settings
from consulfwd.config.show import as_yaml, plain
from consulfwd.errors import ConfigError

PATHS = [path for path, _ in leaves(Settings)]
KEYS = sorted({part for path in PATHS for part in path} | {*keys_of(Agent), *keys_of(FromCatalog)})
WORDS = [
    *("127.0.0.1", "::1", "[::1]:53", "10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0", "auto"),
    *("tls://1.1.1.1#a.b", "tls://x", "consul", "a.consul", "A.b.", "dc2", "/etc/passwd", "/"),
    *("ordered", "leader", "https", "no", "~", "5", "-1", "1e5", "&x", "*x", "!!str", "?", "\t"),
    "\ud800",
]

SCALARS = (
    st.sampled_from(WORDS)
    | st.text(max_size=8)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
)
NAMES = st.sampled_from([*KEYS, *WORDS]) | st.text(max_size=5)
TREES = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(NAMES, part, max_size=4),
    max_leaves=12,
)
TOP = st.dictionaries(st.sampled_from([path[0] for path in PATHS]), TREES, max_size=5)
PROFILE = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(
    path: Path | None, environ: Mapping[str, str], options: Mapping[str, object]
) -> list[str]:
    """The problems, each in a form that can be printed; or none and settings that can be shown."""
    try:
        loaded = load(path, environ, options)
    except ConfigError as error:
        told = [str(one) for one in error.problems]
    else:
        told = []
        assert isinstance(yaml.safe_load(as_yaml(loaded)), dict)
    assert all(one.isprintable() and one.encode() for one in told)
    return told


@PROFILE
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b"a: " + b"[" * 5000)
@example(b"&a [*a]")
@example(b'"\\U00110000"')
@example(b'"\\ud800": "\\ud800"')
@example(b"%YAML 9.9\n--- {}")
@example(b"%TAG ! tag:x,2000:\n---\n!y z")
@example(b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]")
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(data)
    outcome(file, {}, {})


@PROFILE
@given(TREES | TOP)
def test_any_structure(tmp_path: Path, tree: object) -> None:
    file = tmp_path / "x"
    file.write_bytes(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))
    outcome(file, {}, {})
    file.write_text(json.dumps(tree), encoding="utf-8")
    outcome(file, {}, {})


ADDRESSES = st.sampled_from(["127.0.0.1", "10.0.0.1:53", {"address": "::1"}, "x", "", 5])
AGENTS = st.lists(ADDRESSES, max_size=3) | SCALARS
CATALOG = st.fixed_dictionaries(
    {}, optional={"from_catalog": st.booleans() | SCALARS, "seeds": AGENTS, "x": SCALARS}
)


@PROFILE
@given(AGENTS | CATALOG, AGENTS | CATALOG)
def test_any_form_of_agents(tmp_path: Path, here: object, there: object) -> None:
    file = tmp_path / "x"
    tree = {"consul": {"agents": here, "datacenters": {"dc2": {"agents": there}}}}
    file.write_text(json.dumps(tree), encoding="utf-8")
    if not outcome(file, {}, {}):
        found = load(file, {}, {})
        for shown in (as_yaml(found), json.dumps(plain(found.settings))):
            file.write_text(shown, encoding="utf-8")
            again = load(file, {}, {}).settings.consul
            assert again == found.settings.consul
            assert again.from_catalog == (isinstance(here, dict) and here["from_catalog"])


@PROFILE
@given(st.lists(st.sampled_from([*KEYS, *WORDS, ": ", "\n", "- ", "{", "}", ", ", " "])))
def test_any_mixture_of_words(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "x"
    file.write_bytes("".join(words).encode("utf-8", "surrogatepass"))
    outcome(file, {}, {})


ENVIRONMENT_TEXTS = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_characters="\0"), max_size=10
)


@PROFILE
@given(
    st.dictionaries(
        st.sampled_from(sorted(variables())) | ENVIRONMENT_TEXTS.map("CONSULFWD_{}".format),
        ENVIRONMENT_TEXTS,
        max_size=5,
    ).map(lambda found: {name: text for name, text in found.items() if "CONFIG" not in name}),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(ENVIRONMENT_TEXTS, max_size=3)
            for name in ("listen", "agent", "recursor", "domain")
        },
    ),
)
def test_any_environment_and_options(
    tmp_path: Path, environ: dict[str, str], options: dict[str, object]
) -> None:
    file = tmp_path / "x"
    file.touch()
    outcome(file, environ, options)


@PROFILE
@given(st.text(max_size=20))
def test_any_path(tmp_path: Path, name: str) -> None:
    outcome(tmp_path / "none" / name, {}, {})
