"""What a Consul agent answers to a DNS question, given a catalog.

What belongs here: reading Consul's kinds of name, choosing records, cutting UDP replies the way
Consul does. Must not know: sockets, faults, asyncio. Followed as seen on Consul 1.19.2; see
"DNS Interface" in Consul's documentation.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from . import wire
from .catalog import Catalog, DevInstance, DevNode
from .wire import DevQuery, DevRecord, DevReply, Name

KINDS = frozenset({b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr"})


@dataclass
class DnsSettings:
    """The part of Consul's `dns_config` that decides what answers look like. TTLs in seconds."""

    domain: str = "consul"
    alt_domains: tuple[str, ...] = ()
    service_ttl: int = 0
    node_ttl: int = 0
    udp_answer_limit: int = 3
    enable_truncate: bool = False
    only_passing: bool = False
    opt_when_cut: bool = True  # False as on 1.19: a reply that was cut has lost its OPT record


@dataclass(frozen=True)
class _Asked:
    """One question under a Consul domain: `parts` in lower case without kind and datacenter."""

    query: DevQuery
    domain: Name
    kind: bytes
    parts: Name
    catalog: Catalog

    def under_datacenter(self, *labels: bytes) -> Name:
        return (*labels, self.catalog.datacenter.encode(), *self.domain)


class Answerer:
    """Answers for one agent. `catalogs` by datacenter; `clock` gives the SOA's serial number."""

    def __init__(
        self,
        settings: DnsSettings,
        catalogs: Mapping[str, Catalog],
        datacenter: str,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.settings = settings
        self.catalogs = catalogs
        self.datacenter = datacenter
        self._clock = clock
        self._rng = rng

    def answer(self, query: DevQuery, *, udp: bool) -> DevReply:
        """The reply, cut to the query's size when it goes over UDP."""
        lower = tuple(label.lower() for label in query.name)
        if lower[-1:] == (b"arpa",):
            reply = self._reverse(query, lower)
        elif domain := self._domain(query.name, lower):
            reply = self._forward(query, domain, lower[: -len(domain)])
        else:
            return DevReply(query, wire.REFUSED, authoritative=False, edns=False)
        return cut(reply, self.settings, udp=udp)

    def negative(self, query: DevQuery, rcode: int = wire.NXDOMAIN) -> DevReply:
        """No such name (or, with NOERROR, no such data): the SOA record in Authority."""
        return DevReply(query, rcode, authority=[self._soa()])

    def _domain(self, name: Name, lower: Name) -> Name:
        for text in (self.settings.domain, *self.settings.alt_domains):
            domain = wire.labels(text.lower())
            if lower[-len(domain) :] == domain:
                return name[-len(domain) :]
        return ()

    def _soa(self) -> DevRecord:
        return wire.soa(wire.labels(self.settings.domain.lower()), int(self._clock()))

    def _forward(self, query: DevQuery, domain: Name, lower: Name) -> DevReply:
        if query.type in (wire.SOA, wire.NS):
            return self._apex(query, domain)
        kind, parts, rest = _split(lower, query.type)
        if kind == b"addr":
            return self._address(query, parts)
        if rest[1:] not in ((), (b"dc",)) or not parts:
            return self.negative(query)
        name = rest[0].decode("latin-1") if rest else self.datacenter
        catalog = self.catalogs.get(name)
        if catalog is None:
            return self.negative(query)
        asked = _Asked(query, domain, kind, parts, catalog)
        if kind in (b"service", b"query"):
            return self._service(asked)
        if kind == b"virtual":
            return DevReply(query)
        return self._node(asked) if kind == b"node" else self.negative(query)

    # Kinds of name

    def _apex(self, query: DevQuery, domain: Name) -> DevReply:
        catalog = self.catalogs[self.datacenter]
        servers = self._healthy(catalog.service("consul"))[:3]
        base = wire.labels(self.settings.domain.lower())
        owner = query.name if query.name == domain else base
        names, glue = [], []
        for server in servers:
            fqdn = (*wire.labels(server.node.name), b"node", self.datacenter.encode(), *base)
            names.append(wire.pointing(owner, wire.NS, 0, fqdn))
            glue.append(wire.address(fqdn, 0, server.node.address))
        if query.type == wire.NS:
            return DevReply(query, answers=names, additional=glue)
        return DevReply(query, answers=[self._soa()], authority=names, additional=glue)

    def _service(self, asked: _Asked) -> DevReply:
        parts, query = asked.parts, asked.query
        is_query = asked.kind == b"query"
        if len(parts) == 2 and parts[0][:1] == parts[1][:1] == b"_":
            name, tag = parts[0][1:], parts[1][1:]
            tag = b"" if tag == b"tcp" or is_query else tag
        elif is_query:
            name, tag = b".".join(parts), b""
        else:
            name, tag = parts[-1], b".".join(parts[:-1])
        found = self._healthy(asked.catalog.service(name.decode("latin-1")))
        if tag:
            found = [each for each in found if each.has_tag(tag.decode("latin-1"))]
        if not found:
            return self.negative(query)
        if query.type == wire.SRV:
            reply = self._srv(asked, found)
        else:
            reply = DevReply(query, answers=list(self._addresses(query, found)))
            if not reply.answers:
                reply = self.negative(query, wire.NOERROR)
        return replace(reply, ecs_scope=None) if is_query else reply

    def _addresses(self, query: DevQuery, found: Iterable[DevInstance]) -> Iterator[DevRecord]:
        seen: set[str] = set()
        for each in found:
            text = each.address or each.node.address
            if text in seen:
                continue
            seen.add(text)
            record = _host(query.name, self.settings.service_ttl, text)
            if record.type in (query.type, wire.CNAME) or query.type in (wire.ANY, wire.TXT):
                yield record

    def _srv(self, asked: _Asked, found: Iterable[DevInstance]) -> DevReply:
        ttl, answers, extra = self.settings.service_ttl, [], []
        seen: set[tuple[str, str, int]] = set()
        for each in found:
            key = (each.node.name, each.address, each.port)
            if key in seen:
                continue
            seen.add(key)
            text = each.address or each.node.address
            node = asked.under_datacenter(*wire.labels(each.node.name), b"node")
            octets = wire.packed(text)
            if octets is None:
                target = wire.labels(text)
            elif each.address:
                target = asked.under_datacenter(octets.hex().encode(), b"addr")
            else:
                target = node
            weight = each.weights[0 if each.status == "passing" else 1]
            answers.append(wire.srv(asked.query.name, ttl, weight, each.port, target))
            if octets is not None:
                extra.append(wire.address(target, ttl, text))
            extra += _node_texts(node, ttl, each.node)
        return DevReply(asked.query, answers=answers, additional=extra)

    def _node(self, asked: _Asked) -> DevReply:
        query, ttl = asked.query, self.settings.node_ttl
        node = asked.catalog.nodes.get(b".".join(asked.parts).decode("latin-1"))
        if node is None:
            return self.negative(query)
        record, texts = _host(query.name, ttl, node.address), _node_texts(query.name, ttl, node)
        answers, extra = [], []
        if query.type == wire.ANY or (
            query.type in (wire.A, wire.AAAA) and record.type in (query.type, wire.CNAME)
        ):
            answers.append(record)
        if query.type in (wire.ANY, wire.TXT):
            answers += texts
        elif query.type in (wire.A, wire.AAAA):
            extra += texts
        return DevReply(query, answers=answers, additional=extra)

    def _address(self, query: DevQuery, parts: Name) -> DevReply:
        try:
            (label,) = parts
            packed = bytes.fromhex(label.decode("ascii"))
            record = wire.address(query.name, 0, str(ipaddress.ip_address(packed)))
        except ValueError:
            return self.negative(query)
        if query.type in (record.type, wire.ANY):
            return DevReply(query, answers=[record])
        return DevReply(query, additional=[record])

    def _reverse(self, query: DevQuery, lower: Name) -> DevReply:
        ip = _reversed_address(lower)
        catalog = self.catalogs[self.datacenter]
        base = (catalog.datacenter.encode(), *wire.labels(self.settings.domain.lower()))
        target: Name = ()
        if ip is not None:
            for node in catalog.nodes.values():
                if wire.packed(node.address) == ip:
                    target = (*wire.labels(node.name), b"node", *base)
                    break
            else:
                for each in catalog.instances.values():
                    if wire.packed(each.address) == ip:
                        target = (each.service.encode(), b"service", *base)
                        break
        if not target:
            return self.negative(query)
        return DevReply(query, answers=[wire.pointing(query.name, wire.PTR, 0, target)])

    def _healthy(self, found: Iterable[DevInstance]) -> list[DevInstance]:
        unfit = ("critical", "warning") if self.settings.only_passing else ("critical",)
        kept = [each for each in found if each.status not in unfit]
        self._rng.shuffle(kept)
        return kept


def cut(reply: DevReply, settings: DnsSettings, *, udp: bool) -> DevReply:
    """The reply as Consul sends it: what does not fit is left out, normally without TC.

    Over UDP without EDNS, or with a size up to 512, only `udp_answer_limit` answers remain; beyond
    that, as many as fit. With the answers go the additional records no remaining SRV points at;
    an answer goes before they do, even where leaving out them alone would have been enough.
    """
    size = max(512, reply.query.edns_size or 0) if udp else 0xFFFF
    whole = len(reply.answers)
    keep = min(whole, settings.udp_answer_limit) if size == 512 else whole
    small = reply if settings.opt_when_cut else replace(reply, edns=False)
    kept = reply if keep == whole else _first(small, keep)
    while keep > 1 and (over := len(kept.pack()) - size) > 0:
        keep = _most(small, keep, size) if over > 100 else keep - 1
        kept = _first(small, keep)
    return replace(kept, truncated=settings.enable_truncate and keep < whole)


def _most(reply: DevReply, high: int, size: int) -> int:
    """How many of the first `high` answers fit into `size` octets, at least one."""
    low = 1
    while low < high:
        middle = (low + high + 1) // 2
        if len(_first(reply, middle).pack()) <= size:
            low = middle
        else:
            high = middle - 1
    return low


def _first(reply: DevReply, keep: int) -> DevReply:
    answers = reply.answers[:keep]
    targets = {
        part.name for record in answers for part in record.data if isinstance(part, wire.DataName)
    }
    extra: dict[Name, DevRecord] = {}
    for record in reply.additional:
        if record.name in targets:
            extra.setdefault(record.name, record)
    return replace(reply, answers=answers, authority=(), additional=list(extra.values()))


def _split(lower: Name, type_: int) -> tuple[bytes, Name, Name]:
    """Kind, what stands before it and what stands after; the rightmost kind counts."""
    for at in range(len(lower) - 1, -1, -1):
        if lower[at] in KINDS:
            return lower[at], lower[:at], lower[at + 1 :]
        if type_ == wire.SRV and lower[at][:1] == b"_":
            return b"service", lower[: at + 1], lower[at + 1 :]
    return b"", (), ()


def _host(name: Name, ttl: int, text: str) -> DevRecord:
    if wire.packed(text) is not None:
        return wire.address(name, ttl, text)
    return wire.pointing(name, wire.CNAME, ttl, wire.labels(text))


def _node_texts(name: Name, ttl: int, node: DevNode) -> list[DevRecord]:
    """A node's metadata as RFC 1464 strings; a key that begins with `rfc1035-` is left out."""
    return [
        wire.txt(name, ttl, value if key.startswith("rfc1035-") else f"{key}={value}")
        for key, value in node.meta.items()
    ]


def _reversed_address(lower: Name) -> bytes | None:
    backwards = [label.decode("latin-1") for label in reversed(lower[:-2])]
    if lower[-2:] == (b"in-addr", b"arpa") and len(backwards) == 4:
        return wire.packed(".".join(backwards))
    if lower[-2:] == (b"ip6", b"arpa") and len(backwards) == 32:
        digits = "".join(backwards)
        return wire.packed(":".join(digits[at : at + 4] for at in range(0, 32, 4)))
    return None
