"""The spelling of a question as what a reply must repeat (draft-vixie-dnsext-dns0x20). Pure bytes.

Names are the same in capitals and small letters (RFC 4343), and servers copy the question as it
came: each letter holds one more bit that somebody who does not see the query has to guess.
"""

from __future__ import annotations

from consulfwd.dns.wire import HEADER_SIZE

# Octets that say how long a label is are below all letters.
_CASE = bytes(0x20 if 0x41 <= octet & ~0x20 <= 0x5A else 0 for octet in range(256))


def name_of(tail: bytes) -> bytes:
    """Return the name asked in a query without its ID, up to the first octet of 0.

    That is all of it but for its end, unless a label holds such an octet.
    """
    start = HEADER_SIZE - 2
    return tail[start : tail.index(0, start)]


def mixed(name: bytes, chance: bytes) -> bytes:
    """Return a folded name with capitals where `chance` has them: bit 0x20 of the octet there.

    `chance` is as long as the name at least. Raises ValueError where it is not.
    """
    size = len(name)
    if len(chance) < size:
        raise ValueError("not enough chance for a name")
    letters = int.from_bytes(name.translate(_CASE), "big")
    turned = letters & int.from_bytes(chance[:size], "big")
    return (int.from_bytes(name, "big") ^ turned).to_bytes(size, "big")


def with_name(tail: bytes, name: bytes) -> bytes:
    """Return a query without its ID with its name spelled as in `name`, which is as long."""
    start = HEADER_SIZE - 2
    return tail[:start] + name + tail[start + len(name) :]


def asks_as(reply: bytes, name: bytes) -> bool:
    """Return whether a reply repeats a name octet by octet."""
    return reply.startswith(name, HEADER_SIZE)


def asks_for(reply: bytes, name: bytes) -> bool:
    """Return whether a reply is to a name, which is given folded, however it spells that."""
    return reply[HEADER_SIZE : HEADER_SIZE + len(name)].lower() == name


def folded(reply: bytes, sent: bytes, name: bytes) -> bytes:
    """Return a reply to a name that was sent spelled as `sent` as if it had been sent as `name`.

    Records that repeat it in full are of that spelling then, too.
    """
    end = HEADER_SIZE + len(sent)
    rest = reply[end:]
    if sent in rest:
        rest = rest.replace(sent, name)
    return b"".join((reply[:HEADER_SIZE], name, rest))
