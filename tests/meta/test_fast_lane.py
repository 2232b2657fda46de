"""Each part of the compiled fast lane is described, and the Python it is the twin of is there."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest

NAMED = re.compile(r"`((?:\w+\.)+\w+)`")
PACKAGES = ("consulfwd.core", "consulfwd.dns", "consulfwd.net")


def table(project: Path) -> str:
    text = (project / "docs" / "architecture.md").read_text()
    return text.partition("\n| Compiled | Its twin |")[2].partition("\n\n")[0]


def sources(project: Path) -> list[Path]:
    return sorted((project / "consulfwd" / "net" / "fast").iterdir())


def holds(thing: object, name: str) -> bool:
    try:
        attrgetter(name)(thing)
    except AttributeError:
        return False
    return True


@cache
def modules() -> dict[str, ModuleType]:
    """Every module that C could be the twin of, by its name."""
    found = {}
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for _, name, _ in pkgutil.iter_modules(path, f"{package}."):
            found[name] = importlib.import_module(name)
    return found


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one, with its last parts before or not."""
    for full, module in modules().items():
        if f".{full}".endswith(f".{name}") or holds(module, name):
            return True
        parts = full.split(".")
        for at in range(len(parts)):
            tail = ".".join(parts[at:]) + "."
            if name.startswith(tail) and holds(module, name.removeprefix(tail)):
                return True
    return False


def test_each_file_is_in_the_table(project: Path) -> None:
    named = re.findall(r"`(\w+\.[ch])`", table(project))
    assert sorted(named) == [one.name for one in sources(project)]


def test_each_twin_in_the_table_is_there(project: Path) -> None:
    named = [name for name in NAMED.findall(table(project)) if not name.endswith((".c", ".h"))]
    assert len(named) > 10
    assert [name for name in named if not is_there(name)] == []


@pytest.mark.parametrize("name", ["mmsg.NoBatch", "Batch.none", "none.Batch", "core.ready.Batch"])
def test_what_is_not_there_is_found_out(name: str) -> None:
    assert not is_there(name)


def test_what_comments_name_is_there(project: Path) -> None:
    missing = {
        f"{source.name}: {name}"
        for source in sources(project)
        for name in NAMED.findall(source.read_text())
        if not is_there(name)
    }
    assert missing == set()
