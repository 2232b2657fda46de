"""What in Consul's catalog the answer to a name depends on: the subject a watch would be about.

Consul reads a name's labels from the right; the first that names a kind decides (see "DNS
Interface" in Consul's documents). Pure: names in, subjects out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from consulfwd.dns.names import is_under, labels_of

SERVICE, CONNECT, NODE = "service", "connect", "node"
_KINDS = frozenset(
    ("service", "connect", "virtual", "ingress", "node", "query", "addr")
)  # fmt: skip
# Other characters may be read in one way in a name and in another in a URL: Consul's DNS escapes
# some, its HTTP API takes escapes off twice.
_PLAIN = re.compile(rb"[a-z0-9_-]+")


class Subject(NamedTuple):
    """A service, the proxies of one, or a node; `datacenter` "" is the agent's own."""

    kind: str
    name: str
    datacenter: str = ""

    def __str__(self) -> str:
        where = f" in {self.datacenter}" if self.datacenter else ""
        return f"{self.kind} {self.name}{where}"


class Form(NamedTuple):
    """A name read: its subject, the tag it asks for ("" for any), the domain it is under."""

    subject: Subject
    tag: str
    zone: bytes


def form_of(name: bytes, domains: Iterable[bytes], *, srv: bool = False) -> Form | None:
    """Return how Consul reads a folded wire name under one of its `domains`.

    `srv` says that SRV records are asked for: there `service` may be left out (RFC 2782). None when
    no single watch covers it: prepared queries, virtual and ingress addresses, names of peers and
    partitions, the domain itself, what Consul would not understand, and labels of anything but
    letters, digits, hyphens and underscores.
    """
    zone = max((one for one in domains if is_under(name, one)), key=len, default=None)
    if zone is None:
        return None
    read = _read(labels_of(name[: -len(zone)] + b"\0"), srv)
    return None if read is None else Form(*read, zone)


def datacenter_of(name: bytes, zone: bytes) -> bytes:
    """Return the label that says the datacenter in a folded wire name under `zone`, b"" if none."""
    labels = labels_of(name[: -len(zone)] + b"\0")
    behind = b""
    for label in reversed(labels):
        if label.decode("latin-1") in _KINDS or label.startswith(b"_"):
            return behind
        behind = label
    return b""


def _read(labels: list[bytes], srv: bool) -> tuple[Subject, str] | None:
    if not all(map(_PLAIN.fullmatch, labels)):
        return None
    kind, head, tail = _split([label.decode() for label in labels], srv)
    if not head or len(tail) > 2 or (len(tail) == 2 and tail[1] != "dc"):
        return None
    datacenter = tail[0] if tail else ""
    if kind == SERVICE and len(head) == 2 and all(one.startswith("_") for one in head):
        # As in RFC 2782 the tag stands behind the name, and a protocol is no tag.
        name, tag = (one[1:] for one in head)
        found = Subject(SERVICE, name, datacenter), "" if tag == "tcp" else tag
    elif kind in (SERVICE, CONNECT):
        found = Subject(kind, head[-1], datacenter), ".".join(head[:-1])
    elif kind == NODE:
        found = Subject(NODE, ".".join(head), datacenter), ""
    else:
        return None
    return found if found[0].name else None


def _split(labels: list[str], srv: bool) -> tuple[str, list[str], list[str]]:
    """Return the kind of a name ("" for none), what stands before it, and what behind."""
    for at in range(len(labels) - 1, -1, -1):
        if labels[at] in _KINDS:
            return labels[at], labels[:at], labels[at + 1 :]
        if srv and labels[at].startswith("_"):
            return SERVICE, labels[: at + 1], labels[at + 1 :]
    return "", [], []
