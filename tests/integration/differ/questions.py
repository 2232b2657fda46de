"""The queries: made of a seed, written as a line one can ask again, and as bytes.

What belongs here: which names, types and options there are to draw from. What does not: who is
asked, or what comes back.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import dns.name
import dns.rdatatype

from tests.integration.differ import names

FLAGS = {"rd": 0x0100, "ad": 0x0020, "cd": 0x0010}
COOKIE, UNKNOWN = 10, 65001
OPTIONS = {"cookie": (COOKIE, bytes(range(1, 9))), "option": (UNKNOWN, b"\1\2\3")}


@dataclass(frozen=True)
class Query:
    """One query. `edns` is the buffer size announced, None for no EDNS.

    `marks` are of: tcp, do, ad, cd, nord (RD is 0), cookie, option (an unknown one), v1 (EDNS
    of version 1).
    """

    name: str
    rtype: str
    edns: int | None = None
    marks: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        size = [] if self.edns is None else [f"+bufsize={self.edns}"]
        return " ".join([self.name, self.rtype, *size, *(f"+{m}" for m in sorted(self.marks))])

    @property
    def limit(self) -> int:
        """How large a reply may be."""
        if "tcp" in self.marks:
            return 65535
        return max(self.edns or 512, 512)

    def below(self, *domains: str) -> bool:
        """Is the name one of these domains', or below one?"""
        name = "." + self.name.lower().rstrip(".")
        return any(name.endswith(f".{domain}") for domain in domains)

    @property
    def question(self) -> bytes:
        wire = dns.name.from_text(self.name).to_wire()
        assert wire is not None
        return wire + struct.pack("!HH", dns.rdatatype.from_text(self.rtype), 1)

    def wire(self) -> bytes:
        """The message behind its ID."""
        flags = FLAGS["ad"] * ("ad" in self.marks) | FLAGS["cd"] * ("cd" in self.marks)
        flags |= FLAGS["rd"] * ("nord" not in self.marks)
        opt = b""
        if self.edns is not None:
            options = b"".join(
                struct.pack("!HH", code, len(data)) + data
                for mark, (code, data) in OPTIONS.items()
                if mark in self.marks
            )
            ttl = 0x8000 * ("do" in self.marks) | 0x10000 * ("v1" in self.marks)
            opt = struct.pack("!BHHIH", 0, 41, self.edns, ttl, len(options)) + options
        return struct.pack("!HHHHH", flags, 1, 0, 0, 1 if opt else 0) + self.question + opt


def parse(text: str) -> Query:
    """The query written as `str(query)` does."""
    name, rtype, *rest = text.split()
    sizes = [int(word.partition("=")[2]) for word in rest if word.startswith("+bufsize=")]
    marks = frozenset(word[1:] for word in rest if not word.startswith("+bufsize="))
    unknown = marks - {"tcp", "do", "ad", "cd", "nord", "cookie", "option", "v1"}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return Query(name, rtype, sizes[0] if sizes else None, marks)


COMMON = ("A", "A", "A", "AAAA", "AAAA", "TXT", "MX", "SRV", "CNAME", "NS", "SOA", "PTR")
RARE = (
    *("DS", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "RRSIG", "CAA", "TLSA", "NAPTR", "SSHFP"),
    *("URI", "LOC", "HTTPS", "SVCB", "DNAME", "HINFO", "RP", "TYPE65280", "TYPE65281", "ANY"),
)
TYPES = (*COMMON, *COMMON, *RARE)
# How many of a thousand.
WEIGHTS = {
    **{"zones": 560, "made up": 60, "consul": 300, "reverse": 20, "odd": 40},
    **{"special": 15, "huge": 5},
}
SIZES = (None, None, 512, 1232, 1232, 4096, 65535)

def generate(seed: int, count: int) -> Iterator[Query]:
    """`count` queries; the same for the same seed."""
    rng = random.Random(seed)
    known = names.groups()
    groups, weights = list(WEIGHTS), list(WEIGHTS.values())
    for _ in range(count):
        group = rng.choices(groups, weights)[0]
        if group == "made up":
            name, types = _made_up(rng), list(COMMON)
        else:
            name, types = rng.choice(known[group])
        rtype = rng.choice(types if rng.random() < 0.8 else TYPES)
        if rng.random() < 0.1:
            name = "".join(rng.choice((c.upper(), c.lower())) for c in name)
        yield _with_options(rng, Query(name, rtype))


def _made_up(rng: random.Random) -> str:
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789-_")
    if rng.random() < 0.1:
        # Octets that no host name has, written as in zone files.
        letters = ["\\000", "\\032", "\\.", "\\255", "\\@", "*", "a", "Z"]
    label = "n" + "".join(rng.choices(letters, k=rng.randint(1, 12)))
    depth = "a.b" if rng.random() < 0.2 else ""
    name = ".".join(filter(None, (label, depth, rng.choice(names.MADE_UP))))
    if rng.random() < 0.05:
        # As long as a name can be.
        room = 255 - len(dns.name.from_text(name).to_wire() or b"")
        while room > 1:
            name = f"{'x' * min(room - 1, 63)}.{name}"
            room -= min(room, 64)
    return name


def _with_options(rng: random.Random, query: Query) -> Query:
    size = rng.choice(SIZES)
    chances = {"tcp": 0.15, "ad": 0.2, "cd": 0.12, "nord": 0.02}
    if size is not None:
        chances |= {"do": 0.4, "cookie": 0.08, "option": 0.05, "v1": 0.01}
    marks = frozenset(mark for mark, chance in chances.items() if rng.random() < chance)
    return replace(query, edns=size, marks=marks)
