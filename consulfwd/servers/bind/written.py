"""What is written wrong in named.conf, though it shows what is meant: read as meant, and marked.

A missing semicolon makes the next statement a part of the one before, and a stray word makes it one
of its own name. BIND refuses the file; the rules look at what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from consulfwd.servers.bind import misplaced
from consulfwd.servers.bind.names import OPTIONS
from consulfwd.servers.spelling import Speller
from consulfwd.servers.syntax import SyntaxNode, word_set

# All that may stand outside other statements, in any version.
TOP = word_set(
    "acl controls dlz dnssec-policy dyndb http include key key-store logging lwres managed-keys",
    "masters options parental-agents plugin primaries remote-servers server statistics-channels",
    "template tls trust-anchors trusted-keys view zone",
)
# Of these, some that are hardly ever a word within another statement.
_PLAINLY_TOP = word_set("zone options view acl logging include controls")
# Statements that are never a word within another one.
STATEMENTS = word_set(
    "recursion allow-query allow-query-cache allow-recursion allow-transfer allow-update",
    "allow-notify also-notify dnssec-validation dnssec-enable validate-except forwarders listen-on",
    "listen-on-v6 directory clients-per-query max-clients-per-query max-cache-size max-cache-ttl",
    "min-cache-ttl match-clients auth-nxdomain querylog pid-file zone-statistics recursive-clients",
    "empty-zones-enable disable-empty-zone deny-answer-addresses edns-udp-size max-udp-size",
    "minimal-responses qname-minimization stale-answer-enable options view logging",
)
# What has nothing but a block; a word behind that is the next statement.
_BLOCKS = word_set(
    "forwarders allow-query allow-query-cache allow-recursion allow-transfer match-clients",
    "validate-except server-addresses allow-update allow-notify",
)
_WITHIN = frozenset({"options", "view", "zone"})


def joined(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    """Return the statements as they were meant; what is wrong with them is their `fault`."""
    nodes, speller = list(nodes), Speller(OPTIONS)
    # A file that is included within options has no statement of the top.
    whole = any(node.name in _PLAINLY_TOP - {"include"} for node in nodes)
    found: list[SyntaxNode] = []
    for node in nodes:
        for one in _parted(node, depth=0):
            for known in _known(one) if whole else [one]:
                found += misplaced.placed(known, speller)
    return _one_of_options(found)


def _one_of_options(nodes: list[SyntaxNode]) -> list[SyntaxNode]:
    """Return statements with all options in one, where they stand in several by mistake."""
    places = [place for place, node in enumerate(nodes) if node.name == "options"]
    if len(places) < 2:
        return nodes
    found, first = list(nodes), nodes[places[0]]
    found[places[0]] = replace(first, body=tuple(one for at in places for one in nodes[at].body))
    for at in places[1:]:
        again = "options stands twice"
        found[at] = replace(nodes[at], words=("options",), body=(), fault=again,
                            mend="put all of it into one")  # fmt: skip
    # The last statement of a name is the one rules look at.
    return [*found[: places[0]], *found[places[0] + 1 :], found[places[0]]]


def _known(node: SyntaxNode) -> Iterator[SyntaxNode]:
    """Part a word that belongs nowhere from the statement it stands before."""
    if node.name in TOP or not node.words:
        yield node
        return
    word = node.words[0][:40]
    if len(node.words) > 1 and node.words[1].lower() in _PLAINLY_TOP:
        fault = f"named does not know {word!a}, which stands before {node.words[1]}"
        yield replace(node, words=node.words[:1], body=(), fault=fault, mend="take it out")
        yield replace(node, words=node.words[1:])
        return
    fault = f"named does not know {word!a} here"
    mend = f"into the options: options {{ {' '.join(node.words)[:60]}; }};"
    yield replace(node, fault=fault, mend=mend if node.name in STATEMENTS else "take it out")


def _parted(node: SyntaxNode, depth: int) -> list[SyntaxNode]:
    """Part a statement from the one it swallowed, and what is within it too."""
    if depth <= len(_WITHIN) and (node.name in _WITHIN) and node.body:
        body: list[SyntaxNode] = []
        for one in node.body:
            body += _parted(one, depth + 1)
        node = replace(node, body=tuple(body))
    found: list[SyntaxNode] = []
    while (at := _swallowed(node)) is not None:
        before, after = node.words[:at], node.words[at:]
        blocked = at == 1
        shown = f"{before[0]} {{ ... }}" if blocked else " ".join(before)[:60]
        fault = f"a ; is missing after {shown}: {after[0]} became a part of it"
        mend = "};" if blocked else f"{shown};"
        found.append(replace(node, words=before, body=node.body if blocked else (), fault=fault,
                             mend=mend))  # fmt: skip
        node = replace(node, words=after, body=() if blocked else node.body)
    return [*found, node]


def _swallowed(node: SyntaxNode) -> int | None:
    """Return where in its words the next statement begins, if one does."""
    first = 1 if node.name in _BLOCKS and node.body else 2
    for place, word in enumerate(node.words[first:], first):
        if word.lower() in STATEMENTS or (first == 1 and word.lower() in {"forward", "type"}):
            return place
    return None
