"""The import rule of docs/architecture.md: which part of the package may know which."""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path

import pytest

from tests.meta.imports import PACKAGE, Import, all_imports, imports_of, knows

# Everything may use these; they know nothing themselves.
COMMON = {"", "errors"}

# Part -> the other parts it may import. The empty part is the package itself (`__version__`).
ALLOWED: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "__main__": {"cli"},
    "kept": {"config", "net", "notify"},
    "notify": set(),
    "process": set(),
    "dns": {"core"},
    "core": {"dns"},
    "config": {"dns"},
    "net": {"dns", "core", "config"},
    "consul": {"dns", "core", "config"},
    "apply": set(),
    "keep": {"apply", "core"},
    "servers": {"apply", "core", "dns"},
    "template": {"apply", "config", "consul", "keep"},
    "generate": {"apply", "config", "consul", "core", "dns", "keep", "servers", "template"},
    "lint": {"config", "core", "dns", "servers"},
    "zones": {"consul", "config", "dns"},
    "ops": {"dns", "core", "config", "net", "consul"},
    "dev": {"dns", "core", "config"},
    "server": {"dns", "core", "config", "net", "consul", "kept", "notify"},
    "daemon": {"config", "net", "kept", "notify", "ops", "process", "server"},
    "api": {"dns", "core", "config", "net", "consul", "daemon"},
    # `dev` is for `serve --dev`; the generators are reached by their own verbs.
    "cli": {
        "api", "apply", "config", "daemon", "dev", "generate", "keep", "lint", "server", "servers",
        "template", "zones",
    },
}

PURE = {"dns", "core"}
IMPURE_STDLIB = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "secrets", "select", "selectors", "signal", "socket", "socketserver", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
# Both without input or output: building replies, records as text.
THIRD_PARTY_IN_PURE = {("dns.replies", "dnslib"), ("dns.text", "dns")}

# These parts do input and output in these modules only.
IN_PLACE = {"apply", "generate", "keep", "servers", "template", "zones"}
DOING_IO = {
    "apply.commands", "apply.files", "apply.interrupts", "apply.steps", "keep.changes",
    "keep.follow", "zones.publish",
}  # fmt: skip
IO_MODULES = {"aiohttp", "asyncio", "os", "select", "shutil", "socket", "ssl", "subprocess"}


def within(found: Import) -> bool:
    """May this part know that part?"""
    target = found.target_part
    return target is None or target in COMMON | ALLOWED[found.part] | {found.part}


def pure(found: Import) -> bool:
    """No clock, socket, event loop, log, chance or third party in the pure parts.

    Under TYPE_CHECKING they may be named: a `random.Random` is passed in like a clock's `now`.
    """
    if found.part not in PURE or found.target_part is not None or found.for_types:
        return True
    if (found.module, found.top) in THIRD_PARTY_IN_PURE:
        return True
    return found.top in sys.stdlib_module_names and found.top not in IMPURE_STDLIB


def io_in_place(found: Import) -> bool:
    """The generators do input and output only where they apply and publish."""
    if found.part not in IN_PLACE or found.top not in IO_MODULES:
        return True
    return ".".join(found.module.split(".")[:2]) in DOING_IO


@pytest.fixture(scope="module")
def found(project: Path) -> list[Import]:
    return all_imports(project / PACKAGE)


def test_every_part_is_in_the_rule(project: Path) -> None:
    names = {
        path.stem
        for path in (project / PACKAGE).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__"} <= set(ALLOWED)


@pytest.mark.parametrize("rule", [within, pure, io_in_place])
def test_rule(rule: object, found: list[Import]) -> None:
    assert callable(rule)
    assert [str(each) for each in found if not rule(each)] == []


def test_no_modules_know_each_other_in_a_circle(project: Path) -> None:
    try:
        graphlib.TopologicalSorter(knows(project / PACKAGE)).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None


def test_a_circle_for_types_is_seen(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "__init__.py").touch()
    (tmp_path / "net" / "one.py").write_text("from consulfwd.net import two\n")
    later = "if TYPE_CHECKING:\n    from consulfwd.net.one import One\n"
    (tmp_path / "net" / "two.py").write_text(later)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(knows(tmp_path)).prepare()


def test_api_only_re_exports(project: Path) -> None:
    tree = ast.parse((project / PACKAGE / "api.py").read_text())
    docstring, *body = tree.body
    assert isinstance(docstring, ast.Expr)
    assert {type(node) for node in body} <= {ast.Import, ast.ImportFrom, ast.Assign}
    assigned = [ast.unparse(node.targets[0]) for node in body if isinstance(node, ast.Assign)]
    assert assigned == ["__all__"]


@pytest.mark.parametrize(
    ("module", "source", "rule"),
    [
        ("core.cache", "import time", pure),
        ("core.cache", "from os import path", pure),
        ("dns.wire", "import dnslib", pure),
        ("dns.wire", "def f():\n    import random", pure),
        ("dns.wire", "from ..net import udp", within),
        ("dns.wire", "from consulfwd import net", within),
        ("core.query", "import consulfwd.config.settings", within),
        ("net.udp", "from ..cli.main import main", within),
        ("cli.serve", "from consulfwd.net.udp import Server", within),
        ("generate.model", "import subprocess", io_in_place),
        ("servers.bind.target", "from consulfwd.lint import check", within),
        ("keep.follow", "from consulfwd.template import live", within),
    ],
)
def test_the_rules_see_violations(module: str, source: str, rule: object) -> None:
    assert callable(rule)
    (found,) = imports_of(source, module, False, set(ALLOWED))
    assert not rule(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dns.replies", "import dnslib"),
        ("dns.wire", "from ..errors import WireError"),
        ("dns.wire", "from . import names"),
        ("core.query", "from ..dns.names import Name"),
        ("cli.main", "from consulfwd import __version__"),
        ("apply.commands", "import subprocess"),
        ("net.udp", "import asyncio"),
        ("core.hot", "if TYPE_CHECKING:\n    import random"),
    ],
)
def test_the_rules_allow(module: str, source: str) -> None:
    (found,) = imports_of(source, module, False, set(ALLOWED))
    assert within(found)
    assert pure(found)
    assert io_in_place(found)
