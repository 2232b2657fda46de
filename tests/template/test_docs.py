"""docs/render.md says of templates what is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from consulfwd.consul.values import CatalogNode, Listed, ServiceInstance
from consulfwd.template.functions import MOST_FACTS, NAMES, Functions, Leader

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "render.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+\(.*?\))` \| (.*) \|$", PAGE, re.MULTILINE))
VALUES = {"service": ServiceInstance, "services": Listed, "nodes": CatalogNode, "leader": Leader}


def written(name: str) -> str:
    """How a function is called, as the page writes it."""
    parameters = list(inspect.signature(getattr(Functions, name)).parameters.values())[1:]
    shown = [
        each.name
        if each.default is inspect.Parameter.empty
        else f"{each.name}={'...' if each.default is ... else repr(each.default)}"
        for each in parameters
    ]
    return f"{name}({', '.join(shown)})"


def test_the_table_has_every_function_as_it_is() -> None:
    assert list(ROWS) == [written(name) for name in NAMES]
    assert set(Functions().names()) == set(NAMES)


@pytest.mark.parametrize("name", list(VALUES))
def test_the_table_has_everything_a_value_has(name: str) -> None:
    has = {each.name for each in fields(VALUES[name])}
    if hasattr(VALUES[name], "host"):
        has.add("host")
    shown = set(re.findall(r"`(\w+)`", ROWS[written(name)]))
    assert shown - {"none"} == has


def test_the_example_is_the_one_that_is_tested() -> None:
    example = (ROOT / "examples" / "nginx" / "upstream.conf.tpl").read_text()
    assert example.partition("-#}\n")[2] in PAGE
    command = "nginx -t -q && nginx -s reload"
    assert command in PAGE
    assert command in (ROOT / "examples" / "nginx" / "README.md").read_text()


def test_how_much_can_be_asked() -> None:
    assert f"At most {MOST_FACTS} things" in PAGE
