"""The schema of the settings takes what the readers take, and says what it can of the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from consulfwd.config import load
from consulfwd.config.keys import Objections, keys_of, leaves, read_section
from consulfwd.config.schema import DRAFT, schema
from consulfwd.config.settings import Settings
from consulfwd.config.show import as_json, as_yaml
from consulfwd.config.source import read
from consulfwd.config.tree import plain
from tests.config.schemas import faults
from tests.config.test_docs import mistakes
from tests.config.test_fuzz import PROFILE, TOP
from tests.config.test_show import CATALOG, RICH

ROOT = Path(__file__).parents[2]
SCHEMA = schema()
EXAMPLE = (ROOT / "examples" / "consulfwd.yml").read_text()
FENCED = r"^```(?:yaml|json)\n(.*?)^```$"
# What is said of a value that JSON Schema has words for.
SAYABLE = re.compile(
    r"unknown key|: must be |is too (little|much|long)|is not one of|is missing|must not be empty"
)


def parsed(text: str, folder: Path) -> object:
    """The data of a file, as the settings read it."""
    file = folder / "x.yml"
    file.write_text(text, encoding="utf-8")
    source = read(file, 0)
    assert source.found == []
    return plain(source.root)


def blocks() -> Iterator[tuple[str, str]]:
    """All YAML and JSON that is shown anywhere, with where."""
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        for text in re.findall(FENCED, page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.name, text
    for file in sorted((ROOT / "examples").rglob("*.yml")):
        yield file.name, file.read_text()
    yield "all of the example", re.sub(r"^( *)#(?=\S)", r"\1", EXAMPLE, flags=re.MULTILINE)
    yield from (("rich", RICH), ("catalog", CATALOG))


def examples() -> list[Any]:
    """What of it is settings of consulfwd."""
    found = []
    for where, text in blocks():
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError:
            continue  # output that is cut short
        if isinstance(data, dict) and data.keys() <= keys_of(Settings).keys():
            found.append(pytest.param(text, id=where))
    return found


@pytest.mark.parametrize("text", examples())
def test_it_takes_what_is_shown(text: str, tmp_path: Path) -> None:
    assert faults(SCHEMA, parsed(text, tmp_path)) == []


def test_there_is_something_shown() -> None:
    assert len(examples()) > 10


@pytest.mark.parametrize(
    ("written", "said"), [(one, said) for one, said in mistakes() if SAYABLE.search(said)]
)
def test_it_refuses_what_is_documented_as_a_mistake(
    written: str, said: str, tmp_path: Path
) -> None:
    found = faults(SCHEMA, parsed(written, tmp_path))
    assert found != []
    # At the same key, as far down as both know it.
    key = re.split(r"[.\[:]", said)[0]
    assert all(re.split(r"[.\[:]", one)[0] == key for one in found), (found, said)


def test_many_documented_mistakes_can_be_said() -> None:
    assert len([said for _, said in mistakes() if SAYABLE.search(said)]) > 20


@pytest.mark.parametrize("path", [path for path, _ in leaves(Settings)], ids=".".join)
def test_each_key_has_its_limits_and_help(path: tuple[str, ...]) -> None:
    (one,) = [found for known, found in leaves(Settings) if known == path]

    def about(value: object) -> list[str]:
        data: object = value
        for part in reversed(path):
            data = {part: data}
        return faults(SCHEMA, data)

    shape = SCHEMA
    for part in path:
        if "anyOf" in shape and "properties" not in shape:
            shape = shape["anyOf"][0]
        if "$ref" in shape:
            shape = SCHEMA["$defs"][shape["$ref"].rpartition("/")[2]]
        shape = shape["properties"][part]
    assert shape["description"] == one.help
    assert about(shape["default"]) == []
    assert about(object()) != []
    bounds = re.fullmatch(r"(0, )?([\d.]+) to ([\d.]+)", one.reader.limits)
    if bounds:
        least, most = float(bounds[2]), float(bounds[3])
        assert [about(least), about(most)] == [[], []]
        assert about(most + 1) != []
        assert about(least - 0.05 if least < 1 else least - 1) != []
        assert (about(0) == []) == (bounds[1] is not None or least == 0)
        assert about(str(least)) != []
        assert about(True) != []


@PROFILE
@given(TOP)
def test_it_refuses_nothing_that_the_readers_take(data: dict[str, object]) -> None:
    objections = Objections(Settings)
    read_section(Settings, data, (), objections)
    if not objections:
        assert faults(SCHEMA, data) == []


def test_what_is_shown_as_settings_fits(tmp_path: Path) -> None:
    loaded = load(None, {}, {"agent": ["10.0.0.1"], "recursor": ["9.9.9.9"]})
    assert faults(SCHEMA, parsed(as_yaml(loaded), tmp_path)) == []
    assert faults(SCHEMA, json.loads(as_json(loaded))["settings"]) == []


@pytest.mark.parametrize(
    "data",
    [
        [],
        "x",
        {"consul": {"agents": [None]}},
        {"consul": {"agents": [{"address": "10.0.0.1", "dns_port": "8600"}]}},
        {"consul": {"agents": [{"dns_port": 8600}]}},
        {"consul": {"agents": {"from_catalog": True, "seeds": [{"adress": "10.0.0.1"}]}}},
        {"consul": {"datacenters": {"dc2": None}}},
        {"consul": {"datacenters": {"dc2": {"policy": "fastest"}}}},
        {"recursors": {"a": 1}},
        {"forward": {"corp.example": "10.0.0.1"}},
        {"listen": [{"host": "127.0.0.1", "port": 53}]},
        {"$schema": "x"},
    ],
    ids=str,
)
def test_more_that_it_refuses(data: object) -> None:
    assert faults(SCHEMA, data) != []


def test_its_form() -> None:
    assert SCHEMA["$schema"] == DRAFT
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA

    def sections(shape: object) -> Iterator[dict[str, Any]]:
        if isinstance(shape, dict):
            if isinstance(shape.get("properties"), dict):
                yield shape
            for one in shape.values():
                yield from sections(one)
        elif isinstance(shape, list):
            for one in shape:
                yield from sections(one)

    found = list(sections(SCHEMA))
    assert len(found) == len(SCHEMA["$defs"]) + 1
    for one in found:
        assert one["additionalProperties"] is False
        assert one["type"] == "object"
        assert one["description"]


def test_the_example_says_where_editors_find_it() -> None:
    first = EXAMPLE.splitlines()[0]
    _, at, path = first.partition("# yaml-language-server: $schema=")
    assert at
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert f"consulfwd config schema {path}" in text
