"""Outside names that lead to this site's own hosts (DNS rebinding): what is taken out of answers.

A stranger's page may have its name lead to a host of this network: browsers then let its script
talk to that. What belongs here: which addresses are nobody's outside, which names may have them,
what is left of an answer. Pure. It goes by the name that was asked for, since that is what a
browser trusts: an alias that leads to a name of this site's own is no better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from consulfwd.core.ask import Ask
from consulfwd.core.routes import Kind
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import suffixes
from consulfwd.dns.records import owner_of, type_of
from consulfwd.dns.wire import RECORD, skip_name
from consulfwd.errors import WireError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# This host, private, shared and link-local networks (RFC 6890), and those of them within IPv6.
WITHIN: tuple[Network, ...] = tuple(
    ip_network(one)
    for one in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "255.255.255.255/32"),
        *("::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "64:ff9b:1::/48"),
    )
)
_FOURS = [one for one in WITHIN if isinstance(one, IPv4Network)]
_SIXES = [one for one in WITHIN if isinstance(one, IPv6Network)]
# Where an IPv4 address stands in an IPv6 one: mapped, compatible (RFC 4291), NAT64, 6to4.
_EMBEDDED = (
    (bytes(10) + b"\xff\xff", 12),
    (bytes(12), 12),
    (bytes.fromhex("0064ff9b") + bytes(8), 12),
    (bytes.fromhex("2002"), 2),
)
_SVCB = 64
# Addresses beside the name of a service (RFC 9460 section 14.3.2), and how long each is.
_HINTS = {4: 4, 6: 16}
_LOOKED_AT = frozenset((const.A, const.AAAA, _SVCB, const.HTTPS))


@dataclass(frozen=True)
class Held:
    """What is left of an answer, and an address that it had."""

    message: Message
    address: Address


class Guard:
    """Takes private addresses out of what recursors say, but of names under `allow` (as on the
    wire, folded), and those in `networks`.
    """

    def __init__(self, allow: Iterable[bytes] = (), networks: Sequence[Network] = ()) -> None:
        self.allow = frozenset(allow)
        self.networks = tuple(networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guard) and (self.allow, self.networks) == (
            other.allow,
            other.networks,
        )

    def __hash__(self) -> int:
        return hash((self.allow, self.networks))

    def covers(self, ask: Ask) -> bool:
        """Return whether a question is about an outside name that may have no such address."""
        if ask.route.kind is not Kind.RECURSE:
            return False
        return self.allow.isdisjoint(suffixes(ask.name))

    def found(self, ask: Ask, message: Message) -> Address | None:
        """Return the first private address in an answer that may have none; None if all is well."""
        if not message.ttls or not self.covers(ask):
            return None
        body = message.body
        for at in message.ttls:
            rtype = int.from_bytes(body[at - 4 : at - 2], "big")
            if rtype in _LOOKED_AT:
                end = at + 6 + int.from_bytes(body[at + 4 : at + 6], "big")
                for address in _addresses(rtype, body[at + 6 : end]):
                    if self.is_within(address):
                        return address
        return None

    def hold_back(self, ask: Ask, message: Message) -> Held | None:
        """Return what is left of an answer with private addresses, None of one without.

        Where that does not answer the question any more there is no data. Signatures of what lost
        a record go with it; what is left is not authentic by what the recursor said of the whole.
        """
        address = self.found(ask, message)
        if address is None:
            return None
        question = ask.question
        try:
            sections = message.sections(question)
        except WireError:
            return Held(_no_data(ask), address)
        lost = {
            (owner_of(one).lower(), type_of(one))
            for section in sections
            for one in section
            if self._has_private(one)
        }
        left = tuple(
            [one for one in section if not self._has_private(one) and not _signs(one, lost)]
            for section in sections
        )
        if len(left[0]) < len(sections[0]) and all(type_of(one) != ask.qtype for one in left[0]):
            return Held(_no_data(ask), address)
        flags = message.flags & ~const.AD
        return Held(assemble_message(question, left, flags=flags, rcode=message.rcode), address)

    def _has_private(self, record: bytes) -> bool:
        rtype = type_of(record)
        if rtype not in _LOOKED_AT:
            return False
        return any(map(self.is_within, _addresses(rtype, _rdata_of(record))))

    def is_within(self, address: Address) -> bool:
        """Return whether an address is this site's own, and not excepted."""
        if any(address in network for network in self.networks):
            return False
        if isinstance(address, IPv4Address):
            return any(address in network for network in _FOURS)
        if any(address in network for network in _SIXES):
            return True
        octets = address.packed
        for prefix, at in _EMBEDDED:
            if octets.startswith(prefix):
                return self.is_within(IPv4Address(octets[at : at + 4]))
        return False


def _addresses(rtype: int, rdata: bytes) -> Iterator[Address]:
    """Yield the addresses in a record's data: its own, or hints beside the name of a service."""
    if rtype == const.A:
        if len(rdata) == 4:
            yield IPv4Address(rdata)
    elif rtype == const.AAAA:
        if len(rdata) == 16:
            yield IPv6Address(rdata)
    else:
        at = 2
        try:
            # A pointer must not be there (RFC 9460 section 2.2), but some follow it all the same.
            while (length := rdata[at]) and length < 0xC0:
                at += 1 + length
        except IndexError:
            return
        at += 2 if length else 1
        while at + 4 <= len(rdata):
            key = int.from_bytes(rdata[at : at + 2], "big")
            size = int.from_bytes(rdata[at + 2 : at + 4], "big")
            value, at = rdata[at + 4 : at + 4 + size], at + 4 + size
            each = _HINTS.get(key, 0)
            for begin in range(0, len(value) - each + 1, each) if each else ():
                octets = value[begin : begin + each]
                yield IPv4Address(octets) if each == 4 else IPv6Address(octets)


def _rdata_of(record: bytes) -> bytes:
    return record[skip_name(record, 0, pointers=False) + RECORD.size :]


def _signs(record: bytes, lost: set[tuple[bytes, int]]) -> bool:
    if type_of(record) != const.RRSIG:
        return False
    covered = int.from_bytes(_rdata_of(record)[:2], "big")
    return (owner_of(record).lower(), covered) in lost


def _no_data(ask: Ask) -> Message:
    return replies.local_answer(ask.question, ask.name, [], const.NOERROR, replies.NEGATIVE_TTL)
