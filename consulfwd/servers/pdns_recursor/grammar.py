"""The grammars of PowerDNS Recursor: name=value, its YAML, its files of zones, and its Lua.

All become statements of one form: a setting by its old name with its values, `forward` with a zone
and its servers, `nta` with a name that is excepted from validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from consulfwd.errors import LintError
from consulfwd.servers import documents, lua
from consulfwd.servers.names import is_address
from consulfwd.servers.syntax import SyntaxNode

FORWARD, AUTH, NTA = "forward", "auth", "nta"
_LINE = re.compile(r"(\+?[A-Za-z0-9_.-]+)\s*(\+?=)\s*(.*)", re.DOTALL)
_LISTS = re.compile(r"[\s,;]+")
_FORWARDS = frozenset({"forward-zones", "forward-zones-recurse"})
# Settings that have addresses, as zones of a file of zones have.
_ADDRESSES = frozenset(
    {"local-address", "query-local-address", "query-local-address6", "webserver-address",
     "allow-from", "dont-query", "dont-throttle-netmasks", "proxy-protocol-from",
     "webserver-allow-from", "edns-subnet-allow-list", "etc-hosts-file", "dns64-prefix"}
)  # fmt: skip
# section.key of the YAML whose old name is another one than its key's.
_RENAMED = {
    "incoming.listen": "local-address",
    "incoming.port": "local-port",
    "dnssec.validation": "dnssec",
    "packetcache.servfail_ttl": "packetcache-servfail-ttl",
    "packetcache.ttl": "packetcache-ttl",
}
# What is said where a zone begins without its name, and how it is meant.
_NO_ZONE = (
    "a comma begins another zone, and what follows it here has no =",
    "servers of one zone are parted by semicolons: ZONE=ADDRESS:8600;ADDRESS:8600",
)
_YAML = re.compile(r"^(?:[a-z_]+:(?:\s|$)|-\s+\w+:)", re.MULTILINE)
_LUA = re.compile(r"^[ \t]*(?:addNTA|addDS|addTA|clearNTA|rpzFile|rpzPrimary)\s*\(", re.MULTILINE)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the settings of a file, the zones of a file of zones, what Lua excepts."""
    if _LUA.search(text):
        return list(_from_lua(lua.parse(text, file)))
    if _YAML.search(text) and not _any_setting(text):
        return list(_from_yaml(documents.parse(text, file)))
    return list(_lines(text, file))


def _any_setting(text: str) -> bool:
    return any(_LINE.match(line) for line in text.split("\n"))


def _lines(text: str, file: str) -> Iterator[SyntaxNode]:
    lines = enumerate(text.split("\n"), 1)
    for number, raw in lines:
        parts, line = [], raw
        while line.endswith("\\"):
            parts.append(line[:-1])
            line = next(lines, (0, ""))[1].strip()
        line = re.sub(r"(?:^|\s)#.*", "", "".join([*parts, line])).strip()
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise LintError(file, number, f"{line[:60]!a} is not name=value", "write name=value")
        name, _, value = match.groups()
        yield from _setting(file, number, name.lower(), value)


def _setting(file: str, line: int, name: str, value: str) -> Iterator[SyntaxNode]:
    if name in _FORWARDS:
        for part in filter(str.strip, value.split(",")):
            zone, equals, servers = part.partition("=")
            if not equals:
                yield SyntaxNode(file, line, (name, part.strip()), (), *_NO_ZONE)
                continue
            yield _zone(file, line, zone, re.split(r"[\s;]+", servers.strip()))
    elif name == "auth-zones":
        for part in filter(str.strip, value.split(",")):
            yield SyntaxNode(file, line, (AUTH, part.partition("=")[0].strip()))
    elif name[0] == "+" or (name not in _ADDRESSES and _servers(value)):
        yield _zone(file, line, name.lstrip("+"), filter(None, _LISTS.split(value)))
    else:
        yield SyntaxNode(file, line, (name, *filter(None, _LISTS.split(value))))


def _servers(value: str) -> bool:
    """Is it a list of servers, as behind a zone?"""
    words = list(filter(None, _LISTS.split(value)))
    return bool(words) and all(
        is_address(one) or is_address(one.rpartition(":")[0].strip("[]")) for one in words
    )


def _zone(file: str, line: int, zone: str, servers: Iterable[str]) -> SyntaxNode:
    return SyntaxNode(file, line, (FORWARD, zone.strip(), *(one for one in servers if one)))


def _from_yaml(nodes: list[SyntaxNode]) -> Iterator[SyntaxNode]:
    for section in nodes:
        if section.words[:1] == (documents.ITEM,):
            yield from _forward_item(section)  # a file of zones
            continue
        for node in section.body:
            key = f"{section.name}.{node.name}"
            if node.name in {"forward_zones", "forward_zones_recurse"}:
                for item in node.body:
                    yield from _forward_item(item)
            elif node.name == "auth_zones":
                for item in node.body:
                    for named in item.find("zone"):
                        yield SyntaxNode(item.file, item.line, (AUTH, named.value))
            elif node.name == "negative_trustanchors":
                for item in node.body:
                    for named in item.find("name"):
                        yield SyntaxNode(item.file, item.line, (NTA, named.value))
            else:
                name = _RENAMED.get(key, node.name.replace("_", "-"))
                yield SyntaxNode(node.file, node.line, (name, *node.words[1:]))


def _forward_item(item: SyntaxNode) -> Iterator[SyntaxNode]:
    zone, servers = item.last("zone"), item.last("forwarders")
    if zone is not None:
        line = servers.line if servers else zone.line
        yield _zone(item.file, line, zone.value, servers.words[1:] if servers else ())


def _from_lua(calls: list[SyntaxNode]) -> Iterator[SyntaxNode]:
    for call in calls:
        if call.words[:1] == ("addNTA",) and call.body:
            for text in lua.texts(call.body[0]):
                yield SyntaxNode(call.file, call.line, (NTA, text))


def included(node: SyntaxNode) -> str | None:
    """Return the file or pattern that a setting has read."""
    if node.name in {"forward-zones-file", "lua-config-file", "include-dir"} and node.value:
        if node.name != "include-dir":
            return node.value
        return f"{node.value.rstrip('/')}/*.{'yml' if node.file.endswith('.yml') else 'conf'}"
    return None
