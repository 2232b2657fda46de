"""docs/render.md says of templates what is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from consulfwd.consul.asking import LOOK_EVERY
from consulfwd.consul.belief import SECOND_LOOK, SPREAD, WAIT
from consulfwd.consul.facts import POLL
from consulfwd.consul.seats import CONNECTIONS, FAR, NEAR
from consulfwd.consul.values import CatalogNode, Listed, ServiceInstance
from consulfwd.template.functions import MOST_FACTS, NAMES, NEARLY, Functions, Leader

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


def test_how_much_can_be_asked_and_what_it_takes() -> None:
    assert f"At most {MOST_FACTS} things can be asked by all templates together" in PAGE
    assert f"from {NEARLY} on" in PAGE
    words = " ".join(PAGE.split())
    assert NEAR.waiting == 20
    waits = f"of {WAIT:g} to {WAIT * (1 + SPREAD):g} s"
    assert f"Twenty of them wait at the agent for changes (blocking queries, {waits})" in words
    assert f"in turn, {NEAR.looks:g} a second, each every {LOOK_EVERY:g} s at most" in words
    assert f"followed by {CONNECTIONS} connections" in words
    assert f"off this host {FAR.waiting} wait, and {FAR.looks:g} a second are looked at" in words
    assert f"seen within {2000 / NEAR.looks:g} s or so" in words
    assert f"is asked for again every {POLL:g} s" in words
    assert f"the leader is asked once more {SECOND_LOOK:g} s later" in words


SAID = (
    "Consul cannot be asked: ",
    "what is known of it stays",
    "more cannot be asked for)",
    "another agent is asked",
    "Consul can be asked for ",
    "it can be asked for ",
    "the token may not read all of ",
    "it is used without the rest",
    "holds control characters: ",
    "is left out",
    "is replaced by what is without ",
    "things are asked of Consul, and ",
)


@pytest.mark.parametrize("text", SAID)
def test_the_log_says_so(text: str) -> None:
    folders = (ROOT / "consulfwd" / "consul", ROOT / "consulfwd" / "template")
    assert any(text in file.read_text() for one in folders for file in one.glob("*.py"))
    table = PAGE.partition("## What its log says of Consul\n")[2].partition("\n## ")[0]
    assert text in table
