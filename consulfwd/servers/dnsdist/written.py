"""The YAML of dnsdist 2.0, as the calls of Lua that it comes to.

What belongs here: the form alone, and where its keys are. What the calls mean is in `model`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from consulfwd.servers import documents, lua
from consulfwd.servers.syntax import SyntaxNode, find

LOOKS = re.compile(r"^(?:backends|query_rules|binds|pools):(?:\s|$)", re.MULTILINE)
# A selector as it is called in Lua, with the key its names are behind.
_SELECTORS = {
    "QNameSuffix": ("QNameSuffixRule", "suffixes"),
    "QNameSet": ("QNameSetRule", "qnames"),
    "QName": ("QNameRule", "qname"),
    "Regex": ("RegexRule", "expression"),
    "All": ("AllRule", ""),
}
_CHECKS = {"qname": "checkName", "mode": "healthCheckMode", "function": "checkFunction"}
_WITHIN = {"And": "AndRule", "Or": "OrRule", "Not": "NotRule"}


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the calls. Raises LintError for what is no YAML."""
    return list(_calls(documents.parse(text, file)))


def _calls(nodes: list[SyntaxNode]) -> Iterator[SyntaxNode]:
    for networks in find(nodes, "acl"):
        yield _call(networks, "setACL", _table(networks, networks.words[1:]))
    for backends in find(nodes, "backends"):
        for item in backends.body:
            yield _server(item)
    for caches in find(nodes, "packet_caches"):
        for item in caches.body:
            for name in item.find("name"):
                yield from _cached(nodes, name.value, item)
    for rules in find(nodes, "query_rules"):
        for item in rules.body:
            selector, action = item.last("selector"), item.last("action")
            if selector is not None and action is not None:
                yield _call(item, "addAction", _selector(selector), _action(action))


def _server(item: SyntaxNode) -> SyntaxNode:
    fields = [_field(one, "address", one.value) for one in item.find("address")]
    fields += [_field(one, "pool", lua.TABLE, one.words[1:]) for one in item.find("pools")]
    for one in item.find("tls"):
        fields += [_field(part, "tls", part.value) for part in one.find("provider")]
    for one in item.find("protocol"):
        if one.value.lower() in {"dot", "doh"}:
            fields.append(_field(one, "tls", one.value))
    for one in item.find("health_checks"):
        for part in one.find(*_CHECKS):
            fields.append(_field(part, _CHECKS[part.name], part.value))
    given = SyntaxNode(item.file, item.line, (lua.TABLE,), tuple(fields))
    address = item.last("address")
    return SyntaxNode(item.file, address.line if address else item.line, ("newServer",), (given,))


def _field(node: SyntaxNode, name: str, value: str, within: tuple[str, ...] = ()) -> SyntaxNode:
    return SyntaxNode(node.file, node.line, (name, value), _table(node, within).body)


def _cached(nodes: list[SyntaxNode], cache: str, item: SyntaxNode) -> Iterator[SyntaxNode]:
    """Yield that a cache is for a pool."""
    fields = (_field(one, "temporaryFailureTTL", one.value)
              for one in item.find("temporary_failure_ttl"))  # fmt: skip
    table = SyntaxNode(item.file, item.line, (lua.TABLE,), tuple(fields))
    for pools in find(nodes, "pools"):
        for pool in pools.body:
            used, name = pool.last("packet_cache"), pool.last("name")
            if used is not None and used.value == cache:
                named = name.value if name is not None else ""
                yield _call(pool, "getPool", SyntaxNode(pool.file, pool.line, (named,)))
                made = SyntaxNode(item.file, item.line, ("newPacketCache",), (table,))
                yield _call(pool, "setCache", made)


def _selector(node: SyntaxNode) -> SyntaxNode:
    kind = next((one.value for one in node.find("type")), "")
    if kind in _WITHIN:
        inner = [_selector(one) for part in node.find("selectors", "selector")
                 for one in (part.body if part.name == "selectors" else (part,))]  # fmt: skip
        return SyntaxNode(node.file, node.line, (_WITHIN[kind],), tuple(inner))
    name, key = _SELECTORS.get(kind, (lua.UNKNOWN, ""))
    words = [word for one in node.find(key) for word in one.words[1:]] if key else []
    body = (_table(node, words),) if key else ()
    return SyntaxNode(node.file, node.line, (name,), body)


def _action(node: SyntaxNode) -> SyntaxNode:
    kind = next((one.value for one in node.find("type")), "")
    name = next((one.value for one in node.find("pool_name", "pool")), "")
    body = (SyntaxNode(node.file, node.line, (name,)),) if kind == "Pool" else ()
    return SyntaxNode(node.file, node.line, (f"{kind}Action" if kind else lua.UNKNOWN,), body)


def _call(node: SyntaxNode, name: str, *arguments: SyntaxNode) -> SyntaxNode:
    return SyntaxNode(node.file, node.line, (name,), arguments)


def _table(node: SyntaxNode, texts: tuple[str, ...] | list[str]) -> SyntaxNode:
    body = tuple(SyntaxNode(node.file, node.line, (text,)) for text in texts)
    return SyntaxNode(node.file, node.line, (lua.TABLE,), body)
