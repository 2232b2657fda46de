"""What in Consul's catalog the answer to a name depends on: the subject a watch would be about.

Consul reads a name's labels from the right; the first that names a kind decides (see "DNS
Interface" in Consul's documents). Pure: names in, subjects out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from consulfwd.dns.names import is_under, labels_of

SERVICE, CONNECT, NODE = "service", "connect", "node"
_KINDS = frozenset(
    (b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr")
)  # fmt: skip


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


def subject_of(name: bytes, domains: Iterable[bytes]) -> Subject | None:
    """Return what a folded wire name under one of Consul's `domains` is about (see `form_of`)."""
    form = form_of(name, domains)
    return None if form is None else form.subject


def form_of(name: bytes, domains: Iterable[bytes]) -> Form | None:
    """Return how Consul reads a folded wire name under one of its `domains`.

    None when no single watch covers it: prepared queries, virtual and ingress addresses, names of
    peers and partitions, the domain itself, and what Consul would not understand.
    """
    zone = max((one for one in domains if is_under(name, one)), key=len, default=None)
    if zone is None:
        return None
    read = _read(name, zone)
    return None if read is None else Form(*read, zone)


def _read(name: bytes, zone: bytes) -> tuple[Subject, str] | None:
    labels = labels_of(name[: -len(zone)] + b"\0")
    at = max((index for index, label in enumerate(labels) if label in _KINDS), default=None)
    if at is None:
        # The short form of RFC 2782: _service._tag.consul
        return _service(labels) if len(labels) == 2 and _underscored(labels) else None
    head, tail = labels[:at], labels[at + 1 :]
    if not head or len(tail) > 2 or (len(tail) == 2 and tail[1] != b"dc"):
        return None
    datacenter = _text(tail[0]) if tail else ""
    kind = labels[at]
    if datacenter is None:
        return None
    if kind == b"service":
        return _service(head, datacenter)
    if kind == b"connect":
        return _subject(CONNECT, head[-1:], datacenter, head[:-1])
    return _subject(NODE, head, datacenter) if kind == b"node" else None


def _underscored(labels: list[bytes]) -> bool:
    return all(label.startswith(b"_") for label in labels)


def _service(head: list[bytes], datacenter: str = "") -> tuple[Subject, str] | None:
    """A tag stands before the name; as in RFC 2782 (exactly two labels) it stands behind it."""
    if len(head) == 2 and _underscored(head):
        tag = head[1][1:]
        # A protocol is no tag.
        return _subject(SERVICE, [head[0][1:]], datacenter, [] if tag == b"tcp" else [tag])
    return _subject(SERVICE, head[-1:], datacenter, head[:-1])


def _subject(
    kind: str, labels: list[bytes], datacenter: str, tag: list[bytes] | None = None
) -> tuple[Subject, str] | None:
    name, asked = _text(b".".join(labels)), _text(b".".join(tag or []))
    return (Subject(kind, name, datacenter), asked) if name and asked is not None else None


def _text(label: bytes) -> str | None:
    """Return a label as text, or None where it has what no name in Consul's URLs should have."""
    text = label.decode("latin-1")
    return text if text.isascii() and text.isprintable() and "/" not in text else None
