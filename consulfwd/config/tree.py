"""A configuration as a tree of values that know their place, whatever source they came from.

What belongs here: the tree, walking it, joining two, and plain data out of it. What the values
mean is not known here, nor is any file.
"""

from __future__ import annotations

from typing import NamedTuple

from consulfwd.config.objections import KeyPath

Scalar = str | int | float | bool | None


class Place(NamedTuple):
    """Where a value stands: `text` for people; the rest sorts (source, line, column from 1)."""

    rank: int
    line: int
    column: int
    text: str


class PlacedProblem(NamedTuple):
    """Something to report, with its place and the path of its key ("" is the whole)."""

    place: Place
    path: str
    what: str
    mend: str = ""


class TreeNode:
    """A value with its place and path; `content` is a scalar, a list of nodes or a mapping."""

    __slots__ = ("content", "path", "place")

    def __init__(self, content: TreeContent, place: Place, path: KeyPath) -> None:
        self.content = content
        self.place = place
        self.path = path


TreeContent = Scalar | list[TreeNode] | dict[str, TreeNode]


class Source:
    """What one source says: its tree, what was wrong already, and the paths left out for it.

    `doubted` is what was passed over in it, and may have been meant for something.
    """

    __slots__ = ("doubted", "dropped", "found", "root")

    def __init__(self, root: TreeNode) -> None:
        self.root = root
        self.found: list[PlacedProblem] = []
        self.doubted: list[PlacedProblem] = []
        self.dropped: set[KeyPath] = set()


def plain(node: TreeNode) -> object:
    """Return the tree as plain lists, dictionaries and scalars."""
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


def canonical_key(key: str) -> str:
    """Return the spelling two keys have in common when they are one name (of a domain)."""
    return key.lower().removesuffix(".")


def child_of(node: TreeNode, part: str | int) -> TreeNode | None:
    """Return the child a path's next part leads to.

    Keys that are names may be respelled, and a list may be written as a mapping that has it.
    """
    if isinstance(node.content, list):
        return node.content[part] if isinstance(part, int) and part < len(node.content) else None
    if not isinstance(node.content, dict):
        return None
    if isinstance(part, int):
        lists = [child for child in node.content.values() if isinstance(child.content, list)]
        return child_of(lists[0], part) if len(lists) == 1 else None
    if part in node.content:
        return node.content[part]
    for key, child in node.content.items():
        if canonical_key(key) == part:
            return child
    return None


def walk(root: TreeNode, path: KeyPath) -> list[TreeNode]:
    """Return the nodes along `path` as far as they exist, the root first."""
    trail = [root]
    for part in path:
        child = child_of(trail[-1], part)
        if child is None:
            break
        trail.append(child)
    return trail


def sweep(source: Source, unfit: set[int]) -> None:
    """Take the nodes with these `id`s out of the tree, and lists that are left empty."""
    kept = _kept(source.root, unfit, source.dropped)
    assert kept, "the root of a configuration is never at fault itself"


def _kept(node: TreeNode, unfit: set[int], dropped: set[KeyPath]) -> bool:
    if id(node) in unfit:
        dropped.add(node.path)
        return False
    if isinstance(node.content, dict):
        items = node.content.items()
        node.content = {key: child for key, child in items if _kept(child, unfit, dropped)}
    elif isinstance(node.content, list) and node.content:
        node.content = [child for child in node.content if _kept(child, unfit, dropped)]
        if not node.content:
            dropped.add(node.path)
            return False
    return True


def overlay(below: TreeNode, above: TreeNode) -> TreeNode:
    """Return `below` with what `above` says put over it; only mappings are joined.

    A mapping without any key below it is as if it were not there.
    """
    if isinstance(below.content, dict) and above.content is None:
        return below
    if not isinstance(below.content, dict) or not isinstance(above.content, dict):
        return above
    joined = dict(below.content)
    spelled = {canonical_key(key): key for key in joined}
    for key, child in above.content.items():
        # A name may be spelled otherwise in each; the last spelling is kept.
        under = spelled.get(canonical_key(key), key)
        merged = overlay(joined[under], child) if under in joined else child
        if under != key:
            del joined[under]
        joined[key] = merged
    return TreeNode(joined, below.place, below.path)
