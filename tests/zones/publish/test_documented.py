"""The page about publishing names all that programs may read, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from consulfwd.zones.guards import Kind
from consulfwd.zones.publish import audit
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone
from tests.zones.made import catalog, service, settings


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "publish.md").read_text(encoding="utf-8")


def first_cells(page: str, after: str) -> list[str]:
    """The first cell of each row of the table that comes next, without its head."""
    _, found, rest = page.partition(after)
    assert found
    table = re.search(r"(?m)^\|.*\n\|[-|]+\n((?:\|.*\n)+)", rest)
    assert table is not None
    return [line.split("|")[1] for line in table[1].splitlines()]


def test_the_fields_of_the_audit_log(page: str) -> None:
    zone = Zone(settings(), 0.0)
    zone.see(catalog(service("web", "n1 10.0.0.1")), 0.0)
    plan = zone.plan(Base("", {}), 0.0, "there")
    written = json.loads(audit.line(plan, audit.Who("here", 4), frozenset(), 1.9e9, error="away"))
    named = re.findall(r"`(\w+)`", " ".join(first_cells(page, "A line of the audit log:")))
    assert sorted(named) == sorted(written)


def test_why_something_is_withheld(page: str) -> None:
    (named,) = re.findall(r"the same with `kind` \(([a-z, ]+)\)", page)
    assert sorted(named.split(", ")) == sorted(one.value for one in Kind)
