"""Turns environment variables and command-line options into trees like that of a file.

Every key has a variable of its own, made from its path; only mappings by name have none. The
variables are given as an argument; `os.environ` is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from consulfwd.config.keys import leaves, suggestion
from consulfwd.config.settings import Settings
from consulfwd.config.source import UNUSABLE, scalar, unusable
from consulfwd.config.tree import Place, PlacedProblem, Source, TreeNode
from consulfwd.config.wording import printable

PREFIX = "CONSULFWD_"
FILE_VARIABLE = "CONSULFWD_CONFIG"
# No settings: what `net.fastlane` goes by, and what development scripts read, which may be set in a
# shell that starts consulfwd too.
OTHERS = frozenset(
    {FILE_VARIABLE, "CONSULFWD_FAST_LANE", "CONSULFWD_CONSUL_DIR", "CONSULFWD_DEBIAN_MIRROR"}
)

# What Kubernetes tells every pod of the services in its namespace, here of one that is called
# consulfwd or consulfwd-*.
_SERVICE_LINK = (
    r"(.+_)?(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT=\w+://|"
    r"PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?=)"
)

# The key a repeatable option replaces; `--domain` and `--log-level` are in `from_options`.
_OPTIONS = {"listen": ("listen",), "agent": ("consul", "agents"), "recursor": ("recursors",)}
_LEVEL = ("log", "level")


def variable_of(path: Sequence[str]) -> str:
    """Return the name of the environment variable for a key."""
    return PREFIX + "_".join(path).upper()


def variables() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return every variable's key and kind, as its reader has it ("mapping": only in a file)."""
    return {variable_of(path): (path, key.reader.kind) for path, key in leaves(Settings)}


def from_environment(environ: Mapping[str, str], rank: int) -> Source:
    """Return the tree of all CONSULFWD_* variables; an empty one counts as not set.

    A name that is no setting's is a doubt only: others may have put it there for all programs.
    """
    source = _empty(rank, "environment")
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    known = variables() if given.keys() - OTHERS else {}
    links: list[str] = []
    for line, name in enumerate(sorted(given.keys() - OTHERS)):
        text = given[name].strip()
        place = Place(rank, line, 0, f"environment {printable(name)}")
        path, kind = known.get(name, ((), ""))
        if not path and re.match(_SERVICE_LINK, f"{name.removeprefix(PREFIX)}={text}"):
            links.append(name)
        elif not path:
            # Without the prefix, which every one of them shares.
            near = suggestion(
                name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known]
            )
            mend = near.replace("mean ", f"mean {PREFIX}") or "unset it"
            source.doubted.append(PlacedProblem(place, "", "no setting has this variable", mend))
        elif kind == "mapping":
            key = ".".join(path)
            mend = f"write {key} in the configuration file"
            source.found.append(PlacedProblem(place, key, "cannot be given in a variable", mend))
        elif unusable("".join(text.split()) if kind == "list" else text):
            source.found.append(PlacedProblem(place, ".".join(path), *UNUSABLE))
        elif text:
            _put(source.root, path, _node(text, kind, place, path))
    if links:
        source.doubted.append(_told_of(links, rank))
    return source


def _told_of(links: list[str], rank: int) -> PlacedProblem:
    """Return one doubt for all of them: a service has a dozen."""
    more = f" and {len(links) - 1} more" if len(links) > 1 else ""
    place = Place(rank, 0, 0, f"environment {printable(links[0])}{more}")
    what = "no setting: what Kubernetes tells of a service of that name"
    return PlacedProblem(place, "", what, "set enableServiceLinks: false for the pod")


def from_options(options: Mapping[str, object], rank: int) -> Source:
    """Return the tree of the options: listen, agent, recursor, domain, log_level.

    None and empty is not given. The first domain is `consul.domain`, the others are
    `consul.alt_domains`.
    """
    source = _empty(rank, "options")
    if unknown := options.keys() - _OPTIONS.keys() - {"domain", "log_level"}:
        raise TypeError(f"no such options: {', '.join(sorted(unknown))}")
    for line, name in enumerate((*_OPTIONS, "domain", "log_level")):
        given = options.get(name) or ()
        texts = [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)]
        place = Place(rank, line, 0, f"--{name.replace('_', '-')}")
        if any(unusable(text) for text in texts):
            source.found.append(PlacedProblem(place, "", *UNUSABLE))
        elif name in _OPTIONS and texts:
            _put(source.root, _OPTIONS[name], _list(texts, place, _OPTIONS[name]))
        elif name == "log_level" and texts:
            _put(source.root, _LEVEL, TreeNode(texts[-1], place, _LEVEL))
        elif texts:
            domain, others = ("consul", "domain"), ("consul", "alt_domains")
            _put(source.root, domain, TreeNode(texts[0], place, domain))
            _put(source.root, others, _list(texts[1:], place, others))
    return source


def _empty(rank: int, name: str) -> Source:
    return Source(TreeNode({}, Place(rank, 0, 0, name), ()))


def _node(text: str, kind: str, place: Place, path: tuple[str, ...]) -> TreeNode:
    if kind == "list":
        return _list(text.replace(",", " ").split(), place, path)
    return TreeNode(scalar(text) if kind == "typed" else text, place, path)


def _list(texts: list[str], place: Place, path: tuple[str, ...]) -> TreeNode:
    return TreeNode(
        [TreeNode(text, place, (*path, n)) for n, text in enumerate(texts)], place, path
    )


def _put(root: TreeNode, path: tuple[str, ...], node: TreeNode) -> None:
    parent = root
    for depth, key in enumerate(path[:-1], start=1):
        assert isinstance(parent.content, dict)
        section = parent.content.setdefault(key, TreeNode({}, root.place, path[:depth]))
        parent = section
    assert isinstance(parent.content, dict)
    parent.content[path[-1]] = node
