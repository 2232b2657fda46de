"""The configuration's documentation and example say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent, load
from consulfwd.config.addresses import FromCatalog
from consulfwd.config.environment import variables
from consulfwd.config.failover import FailoverSettings, PoolSettings
from consulfwd.config.failover_checks import CheckSettings
from consulfwd.config.keys import REQUIRED, Section, keys_of, leaves
from consulfwd.config.settings import Settings
from consulfwd.config.show import plain
from consulfwd.config.zones import (
    FileTarget,
    InfobloxTarget,
    PrimaryTarget,
    UpdateTarget,
    ZoneSettings,
)
from consulfwd.errors import ConfigError

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLE = (ROOT / "examples" / "consulfwd.yml").read_text()
OPTIONS = {
    "listen": "--listen",
    "consul.agents": "--agent",
    "recursors": "--recursor",
    "consul.domain": "--domain",
    "consul.alt_domains": "--domain",
    "log.level": "--log-level",
}


def default(model: type[Section], path: tuple[str, ...]) -> str:
    value: Any = plain(Agent(address="127.0.0.1") if model is Agent else Settings())
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None or path == ("address",) else f"`{json.dumps(value)}`"


def reference() -> list[str]:
    """The rows of the reference tables."""
    rows = []
    names = {path: name for name, (path, kind) in variables().items() if kind != "mapping"}
    for path, field in leaves(Settings):
        key = ".".join(path)
        value = '`["127.0.0.1"]`' if key == "consul.agents" else default(Settings, path)
        ways = [f"`{names[path]}`"] if path in names else []
        ways += [f"`{OPTIONS[key]}`"] if key in OPTIONS else []
        rows.append(
            f"| `{key}` | {field.help} | {value} | {field.reader.limits} | {' '.join(ways)} |"
        )
    for name, field in keys_of(Agent).items():
        rows.append(
            f"| `{name}` | {field.help} | {default(Agent, (name,))} | {field.reader.limits} |"
        )
    rows += [
        f"| `{name}` | {field.help} | {field.reader.limits} |"
        for name, field in keys_of(FromCatalog).items()
    ]
    rows += zone_rows()
    rows += failover_rows()
    return [re.sub(r" +", " ", row) for row in rows]


def zone_rows() -> list[str]:
    """The rows of the tables about a zone and each kind of target."""
    shown: Any = plain(ZoneSettings(origin="svc.example.com"))
    rows = []
    for path, field in leaves(ZoneSettings):
        value = shown
        for part in path:
            value = value[part]
        given = "" if value is None or path == ("origin",) else f"`{json.dumps(value)}`"
        rows.append(f"| `{'.'.join(path)}` | {field.help} | {given} | {field.reader.limits} |")
    for kind, made in (
        ("file", FileTarget),
        ("rfc2136", UpdateTarget),
        ("infoblox", InfobloxTarget),
        ("primary", PrimaryTarget),
    ):
        for name, field in keys_of(made).items():
            needed = field.default is REQUIRED or field.default is None
            given = "" if needed else f"`{json.dumps(field.default)}`"
            rows.append(f"| `{kind}.{name}` | {field.help} | {given} | {field.reader.limits} |")
    return rows


def failover_rows() -> list[str]:
    """The rows of the table about a name that moves with health."""
    pools = (PoolSettings(addresses=("192.0.2.1",)),)  # type: ignore[arg-type]
    shown: Any = plain(FailoverSettings(pools=pools, check=CheckSettings()))
    rows = []
    for path, field in leaves(FailoverSettings):
        if path[0] == "check":
            continue
        value = shown
        for part in path:
            value = value[part]
        given = "" if value is None or path == ("pools",) else f"`{json.dumps(value)}`"
        rows.append(f"| `{'.'.join(path)}` | {field.help} | {given} | {field.reader.limits} |")
    return rows + check_rows()


def check_rows() -> list[str]:
    """The rows of the table about each kind of check."""
    rows = []
    for kind, one in keys_of(CheckSettings).items():
        assert one.reader.section is not None
        for name, field in keys_of(one.reader.section).items():
            needed = field.default is REQUIRED or field.default is None
            shown = list(field.default) if isinstance(field.default, tuple) else field.default
            given = "" if needed else f"`{json.dumps(shown)}`"
            rows.append(f"| `{kind}.{name}` | {field.help} | {given} | {field.reader.limits} |")
    return rows


@pytest.mark.parametrize("row", reference())
def test_the_reference_has_the_row(row: str) -> None:
    assert row in DOCUMENT.splitlines()


def mistakes() -> list[tuple[str, str]]:
    section = DOCUMENT.split("## Mistakes and their mending")[1]
    return re.findall(r"^\| `(.+?)` \| `(.+)` \|$", section, re.MULTILINE)


@pytest.mark.parametrize(("written", "said"), mistakes())
def test_a_documented_mistake_is_told_as_documented(
    tmp_path: Path, written: str, said: str
) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(written)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    told = [str(one).removeprefix(f"{file}:1:").strip() for one in caught.value.problems]
    assert told == [said]


def test_there_are_documented_mistakes() -> None:
    assert len(mistakes()) > 20


def local(text: str, folder: Path) -> str:
    """The text with its files of /etc/consulfwd in `folder`, where they exist."""
    for name in ("consul-ca.pem", "consul.token", "client.pem", "client.key", "admin.token"):
        (folder / name).write_text("x")
    (folder / "cookie.secret").write_text(32 * "5")
    (folder / "cookie.secret").chmod(0o600)
    return text.replace("/etc/consulfwd/", f"{folder}/")


@pytest.mark.parametrize("block", re.findall(r"```(?:yaml|json)\n(.+?)```", DOCUMENT, re.DOTALL))
def test_every_example_of_the_document_loads(tmp_path: Path, block: str) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(local(block, tmp_path))
    assert load(file, {}, {}).warnings == ()


def test_the_example_file_is_the_defaults() -> None:
    loaded = load(ROOT / "examples" / "consulfwd.yml", {}, {})
    assert loaded.settings == Settings()
    assert loaded.warnings == ()


def test_the_example_file_has_every_key(tmp_path: Path) -> None:
    file = tmp_path / "consulfwd.yml"
    file.write_text(local(re.sub(r"^( *)#(?=\S)", r"\1", EXAMPLE, flags=re.MULTILINE), tmp_path))
    loaded = load(file, {}, {})
    assert loaded.warnings == ()
    assert [key for key, origin in loaded.origins.items() if origin == "default"] == []
    given = {key for one in loaded.settings.consul.agents for key in plain(one)}  # type: ignore[attr-defined]
    # What a variable holds is not on this host.
    assert given == keys_of(Agent).keys() - {"token_variable"}
