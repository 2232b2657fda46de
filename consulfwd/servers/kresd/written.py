"""The YAML of Knot Resolver 6, as the calls of Lua that it comes to.

What belongs here: the form alone, and where its keys are. What the calls mean is in `model`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from consulfwd.servers import documents, lua
from consulfwd.servers.kresd.names import RULE_FORWARD
from consulfwd.servers.syntax import SyntaxNode, find

LOOKS = re.compile(
    r"^(?:network|cache|forward|lua|dnssec|options|workers|rundir|local-data|views|logging"
    r"|management|monitoring):(?:\s|$)",
    re.MULTILINE,
)
_TIME = re.compile(r"(\d{1,9})(us|ms|s|m|h|d)")
_SECONDS = {"us": 0, "ms": 0, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NO = frozenset({"false", "no", "off"})


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the calls. Raises LintError for what is no YAML."""
    return list(_calls(documents.parse(text, file)))


def _calls(nodes: list[SyntaxNode]) -> Iterator[SyntaxNode]:
    for listen in _inner(nodes, "network", "listen"):
        for item in listen.body:
            for interface in item.find("interface"):
                for text in interface.words[1:]:
                    yield _call(interface, "net.listen", text.partition("@")[0])
    for least in _inner(nodes, "cache", "ttl-min"):
        yield _call(least, "cache.min_ttl", _seconds(least.value))
    for excepted in _inner(nodes, "dnssec", "negative-trust-anchors"):
        yield _call(excepted, "trust_anchors.set_insecure", *excepted.words[1:])
    for switch in (*find(nodes, "dnssec"), *_inner(nodes, "dnssec", "enable")):
        if switch.value.lower() in _NO:
            yield _call(switch, "trust_anchors.remove", ".")
    for switch in _inner(nodes, "options", "rebinding-protection"):
        if switch.value and switch.value.lower() not in _NO:
            yield _call(switch, "modules.load", "rebinding")
    for view in find(nodes, "views"):
        if any(True for item in view.body for _ in item.find("answer")):
            yield SyntaxNode(view.file, view.line, ("view:addr",))
    for script in _inner(nodes, "lua", "script"):
        # The text begins on the line behind its key.
        yield from lua.parse("\n" * script.line + script.value, script.file)
    for file in _inner(nodes, "lua", "script-file"):
        yield _call(file, "dofile", file.value)
    for forward in find(nodes, "forward"):
        for item in forward.body:
            yield from _forward(item)


def _inner(nodes: Iterable[SyntaxNode], section: str, key: str) -> Iterator[SyntaxNode]:
    return (node for outer in find(nodes, section) for node in outer.find(key))


def _forward(item: SyntaxNode) -> Iterator[SyntaxNode]:
    zones, servers, options = item.last("subtree"), item.last("servers"), item.last("options")
    if zones is None:
        return
    named = [] if servers is None else [(servers, text) for text in servers.words[1:]]
    said = list(options.body) if options is not None else []
    for one in servers.body if servers is not None else ():
        named += [(one, text) for part in one.find("address") for text in part.words[1:]]
        said += one.find("transport")
    given = (
        _table(zones, [(zones, text) for text in zones.words[1:]]),
        SyntaxNode(item.file, item.line, (lua.TABLE,), tuple(said)),
        _table(item, named),
    )
    line = item.line if servers is None else servers.line
    yield SyntaxNode(item.file, line, (RULE_FORWARD,), given)


def _call(node: SyntaxNode, name: str, *texts: str) -> SyntaxNode:
    return SyntaxNode(node.file, node.line, (name,), (_table(node, [(node, x) for x in texts]),))


def _table(node: SyntaxNode, texts: Iterable[tuple[SyntaxNode, str]]) -> SyntaxNode:
    body = tuple(SyntaxNode(one.file, one.line, (text,)) for one, text in texts)
    return SyntaxNode(node.file, node.line, (lua.TABLE,), body)


def _seconds(text: str) -> str:
    """Return a time such as 5s as the seconds of a Lua call, or as it is."""
    found = _TIME.fullmatch(text)
    return str(int(found[1]) * _SECONDS[found[2]]) if found else text
