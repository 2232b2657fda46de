"""The import rule of docs/architecture.md: which part of the package may know which."""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path

import pytest

from tests.meta.imports import PACKAGE, Import, all_imports, imports_of, knows

# Everything may use these; they know nothing themselves.
COMMON = {"", "errors", "words"}

# Part -> the other parts it may import. The empty part is the package itself (`__version__`).
ALLOWED: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "words": set(),
    "__main__": {"cli"},
    "kept": {"config", "net", "notify"},
    "notify": set(),
    "process": set(),
    "upkeep": {"notify", "ops"},
    "dns": {"core"},
    "core": {"dns"},
    "config": {"dns"},
    "net": {"dns", "core", "config"},
    "consul": {"dns", "core", "config"},
    "apply": set(),
    "audit": {"config", "consul", "net"},
    "failover": {"config", "consul", "core", "dns", "zones"},
    "hangups": set(),
    "keep": {"apply", "core", "hangups", "upkeep"},
    "servers": {"apply", "core", "dns"},
    "template": {"apply", "config", "consul", "keep", "upkeep"},
    "generate": {
        "apply", "config", "consul", "core", "dns", "keep", "servers", "template", "upkeep",
    },
    "lint": {"config", "core", "dns", "servers"},
    "zones": {
        "apply", "config", "consul", "core", "dns", "failover", "hangups", "keep", "ops", "process",
        "upkeep",
    },
    "locking": {"config", "consul", "core", "notify"},
    "maintain": {"config", "consul", "dns", "locking", "zones"},
    "ops": {"dns", "core", "config", "net", "consul", "failover", "server"},
    "checks": {"config", "consul", "dns", "ops", "zones"},
    "dev": {"dns", "core", "config"},
    "server": {"dns", "core", "config", "net", "consul", "failover", "kept", "notify", "ops"},
    "workers": {
        "config", "consul", "core", "failover", "kept", "net", "ops", "process", "server",
    },
    "daemon": {
        "config", "hangups", "net", "kept", "notify", "ops", "process", "server", "workers",
    },
    "api": {"backends", "dns", "core", "config", "net", "consul", "daemon"},
    "backends": {"config", "consul", "core", "hangups", "notify"},
    # `dev` is for `serve --dev`; the generators are reached by their own verbs.
    "cli": {
        "api", "apply", "audit", "backends", "checks", "config", "daemon", "dev", "generate",
        "keep", "lint", "locking", "maintain", "notify", "ops", "server", "servers", "template",
        "upkeep", "zones",
    },
}

PURE = {"dns", "core"}
# What is decided about zones, and what they are made of; of settings they know their own.
PURE_OF_ZONES = {
    "assembly", "budget", "certain", "claims", "deciding", "due", "explaining", "globs", "guards",
    "known",
    "lasting", "layout", "listed", "memory", "model", "moving", "naming", "orders", "penalties",
    "plan",
    "plan_file", "rdata", "seen", "sliding", "spots", "steady", "stepwise", "strict", "target",
    "zone", "serials",
    "primary.answering", "primary.content", "primary.finding", "primary.journal",
    "primary.notices", "primary.packing", "primary.transfers", "primary.tsig", "primary.versions",
    "publish.place", "publish.serials", "publish.status",
    "sinks.faults", "sinks.ownership", "sinks.transfers", "sinks.updates", "sinks.written",
}  # fmt: skip
PURE_OF_BACKENDS = {"backends.due", "backends.model", "backends.picking"}
PURE_OF_CONSUL = {"consul.http_reply"}
# Of checks all modules but these, which ask, or wait: what is found is judged without.
ASKING_OF_CHECKS = {
    "asked_consul", "asked_dns", "asked_resolver", "asked_zone", "deadline", "running",
}  # fmt: skip
# What those that judge may know of other parts.
KNOWN_TO_JUDGES = {
    "consul.health", "dns", "errors", "ops.wrong", "words", "zones.publish.status", "zones.serials",
}  # fmt: skip
# Those may know: of the targets' protocol that a change is what it promises, no more.
KNOWN_TO_PURE_ZONES = {"apply.change", "config.zones", "dns", "errors", "zones"}
IMPURE_STDLIB = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "secrets", "select", "selectors", "signal", "socket", "socketserver", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
# Both without input or output: building replies, records as text.
THIRD_PARTY_IN_PURE = {("dns.replies", "dnslib"), ("dns.text", "dns")}

# What an audit is made of, but for those who ask and read files.
IMPURE_OF_AUDIT = {"audit", "audit.asking", "audit.cluster", "audit.files", "audit.followed"}
IMPURE_OF_AUDIT |= {"audit.inquiry", "audit.settings"}

# Who checks, hears and keeps what failover records are decided by.
IMPURE_OF_FAILOVER = {"failover.keeping", "failover.routed", "failover.running", "failover.votes"}
IMPURE_OF_FAILOVER |= {"failover.serving", "failover.waiting"}
# Of checks all but this one ask.
PURE_OF_CHECKS = {"failover.checks.automaton"}

# These parts do input and output in these modules only.
IN_PLACE = {"apply", "generate", "keep", "servers", "template", "zones"}
DOING_IO = {
    "apply.commands", "apply.files", "apply.interrupts", "apply.marks", "apply.places",
    "keep.changes", "keep.follow", "zones.alone", "zones.counting", "zones.disk", "zones.feed",
    "zones.learning",
    "zones.primary.notifying", "zones.primary.running", "zones.primary.serving",
    "zones.primary.sockets",
    "zones.primary.store", "zones.publish", "zones.sinks", "zones.store", "zones.writer",
    "zones.writing",
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
    if found.target_part is not None or found.for_types:
        return True
    of_audit = found.part == "audit" and found.module not in IMPURE_OF_AUDIT
    asks = found.module.startswith("failover.checks.") and found.module not in PURE_OF_CHECKS
    of_failover = found.part == "failover" and found.module not in IMPURE_OF_FAILOVER and not asks
    decides = found.part in PURE or of_pure_zones(found) or judges(found) or of_audit or of_failover
    decides = decides or found.module in PURE_OF_BACKENDS | PURE_OF_CONSUL
    if not decides:
        return True
    if (found.module, found.top) in THIRD_PARTY_IN_PURE:
        return True
    return found.top in sys.stdlib_module_names and found.top not in IMPURE_STDLIB


def of_pure_zones(found: Import) -> bool:
    """Is it a module that decides about zones?"""
    return found.part == "zones" and found.module.partition(".")[2] in PURE_OF_ZONES


def pure_zones_within(found: Import) -> bool:
    """What decides about zones knows only what is as pure."""
    if not of_pure_zones(found) or found.target_part is None:
        return True
    _, part, *rest = found.target.split(".")
    if part == "zones":
        return not rest or ".".join(rest) in PURE_OF_ZONES
    return part in KNOWN_TO_PURE_ZONES or ".".join([part, *rest[:1]]) in KNOWN_TO_PURE_ZONES


def judges(found: Import) -> bool:
    """Is it a module that says what something is worth that a check found?"""
    name = found.module.partition(".")[2]
    return found.part == "checks" and bool(name) and name not in ASKING_OF_CHECKS


def judges_within(found: Import) -> bool:
    """What judges knows what is as pure, and not who asks."""
    if not judges(found) or found.target_part is None:
        return True
    _, part, *rest = found.target.split(".")
    if part == "checks":
        return not rest or rest[0] not in ASKING_OF_CHECKS
    known = {".".join([part, *rest[:end]]) for end in range(len(rest) + 1)}
    return bool(known & KNOWN_TO_JUDGES)


def io_in_place(found: Import) -> bool:
    """The generators do input and output only where they apply and publish."""
    if found.part not in IN_PLACE or found.top not in IO_MODULES:
        return True
    parts = found.module.split(".")
    return ".".join(parts[:2]) in DOING_IO or ".".join(parts[:3]) in DOING_IO


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


@pytest.mark.parametrize("rule", [within, pure, pure_zones_within, judges_within, io_in_place])
def test_rule(rule: object, found: list[Import]) -> None:
    assert callable(rule)
    assert [str(each) for each in found if not rule(each)] == []


def test_no_modules_know_each_other_in_a_circle(project: Path) -> None:
    try:
        graphlib.TopologicalSorter(knows(project / PACKAGE)).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None


def test_what_carries_changes_out_knows_no_kind_of_them(project: Path) -> None:
    graph = knows(project / PACKAGE)
    seen: set[str] = set()
    left = {"consulfwd.apply.steps"}
    while left:
        seen.add(one := left.pop())
        left |= graph[one] - seen
    files = {f"consulfwd.apply.{one}" for one in ("file_sink", "files", "jobs", "marks", "places")}
    assert files <= graph.keys()
    assert seen & files == set()


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
        ("zones.steady", "import time", pure),
        ("zones.plan", "import dns.name", pure),
        ("zones.zone", "from consulfwd.consul.lock import Lock", pure_zones_within),
        ("zones.zone", "from consulfwd.zones.publish import Publisher", pure_zones_within),
        ("zones.target", "from consulfwd.apply.files import replace", pure_zones_within),
        ("zones.primary.tsig", "from consulfwd.zones.primary.store import X", pure_zones_within),
        ("zones.primary.tsig", "from consulfwd.zones.primary import store", pure_zones_within),
        ("zones.primary.answering", "import socket", io_in_place),
        ("zones.zone", "from consulfwd.zones.sinks.file import ZoneFile", pure_zones_within),
        ("zones.sinks.updates", "from consulfwd.zones.sinks import exchange", pure_zones_within),
        ("zones.serials", "import time", pure),
        ("checks.service", "import socket", pure),
        ("checks.service", "from consulfwd.consul.client import Client", judges_within),
        ("checks.resolve", "from consulfwd.checks.asked_dns import ask", judges_within),
        ("audit.graph", "import time", pure),
        ("backends.picking", "import random", pure),
        ("failover.book", "import time", pure),
        ("failover.checks.automaton", "import asyncio", pure),
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
        ("zones.target", "from consulfwd.apply.change import Change"),
        ("zones.zone", "from consulfwd.zones.model import Act"),
        ("zones.publish", "import asyncio"),
        ("zones.primary.serving", "import socket"),
        ("zones.primary.finding", "from consulfwd.zones.primary.packing import Piece"),
        ("checks.asked_dns", "import socket"),
        ("checks.service", "from consulfwd.consul.health import Entry"),
    ],
)
def test_the_rules_allow(module: str, source: str) -> None:
    (found,) = imports_of(source, module, False, set(ALLOWED))
    assert within(found)
    assert pure(found)
    assert pure_zones_within(found)
    assert judges_within(found)
    assert io_in_place(found)
