"""The imports of the package's modules, read from their source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "consulfwd"
# Of these, some modules are pure: which one is imported counts.
MIXED = {f"{PACKAGE}.zones.primary", f"{PACKAGE}.zones.sinks"}


@dataclass(frozen=True)
class Import:
    """`module` (such as "net.udp") imports `target` (such as "socket", "consulfwd.dns.wire")."""

    module: str
    target: str
    line: int
    for_types: bool = False

    @property
    def part(self) -> str:
        return self.module.split(".")[0]

    @property
    def top(self) -> str:
        return self.target.split(".")[0]

    @property
    def target_part(self) -> str | None:
        """The part of our own package that is imported; None for anything else."""
        first, _, rest = self.target.partition(".")
        return rest.split(".")[0] if first == PACKAGE else None

    def __str__(self) -> str:
        return f"{PACKAGE}.{self.module}:{self.line} imports {self.target}"


def type_only(tree: ast.Module) -> set[ast.AST]:
    """The nodes under `if TYPE_CHECKING:`."""
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _names(node.test) == "TYPE_CHECKING"
    ]
    return {node for block in blocks for child in block.body for node in ast.walk(child)}


def _names(test: ast.expr) -> str:
    """The last part of a name, `typing.TYPE_CHECKING` or without the module; else nothing."""
    if isinstance(test, ast.Attribute):
        return test.attr
    return test.id if isinstance(test, ast.Name) else ""


def imports_of(source: str, module: str, is_package: bool, parts: set[str]) -> Iterator[Import]:
    """Every import in `source`, those in functions and under TYPE_CHECKING as well."""
    dotted = [PACKAGE, *(module.split(".") if module else [])]
    tree = ast.parse(source)
    annotations = type_only(tree)
    for node in ast.walk(tree):
        for_types = node in annotations
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module, name.name, node.lineno, for_types)
        elif isinstance(node, ast.ImportFrom):
            base = dotted[: len(dotted) - node.level + is_package] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            if target == PACKAGE:
                # `from consulfwd import errors` names a part, `... import __version__` does not.
                for name in node.names:
                    part = f".{name.name}" if name.name in parts else ""
                    yield Import(module, target + part, node.lineno, for_types)
            elif target in MIXED:
                for name in node.names:
                    yield Import(module, f"{target}.{name.name}", node.lineno, for_types)
            else:
                yield Import(module, target, node.lineno, for_types)


@functools.cache
def all_imports(root: Path) -> list[Import]:
    parts = {path.stem for path in root.iterdir()} - {"__init__"}
    found: list[Import] = []
    for path in sorted(root.rglob("*.py")):
        names = list(path.relative_to(root).with_suffix("").parts)
        is_package = names[-1] == "__init__"
        module = ".".join(names[:-1] if is_package else names)
        found += imports_of(path.read_text(), module, is_package, parts)
    return found


@functools.cache
def knows(root: Path) -> dict[str, set[str]]:
    """Which modules of the package each one imports, anywhere in it and for types too."""
    modules = {
        ".".join((PACKAGE, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in root.rglob("*.py")
    }
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for path in root.rglob("*.py"):
        own = ".".join((PACKAGE, *path.relative_to(root).with_suffix("").parts))
        own = own.removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named = [f"{node.module}.{name.name}" for name in node.names]
                named = [one if one in modules else node.module for one in named]
            else:
                continue
            graph[own].update(one for one in named if one in modules and one != own)
    return graph
