"""The spelling of a question as what a reply must repeat (draft-vixie-dnsext-dns0x20). Pure bytes.

Names are the same in capitals and small letters (RFC 4343), and servers copy the question as it
came: each letter holds one more bit that somebody who does not see the query has to guess.
"""

from __future__ import annotations

from consulfwd.dns.wire import HEADER_SIZE

# Octets that say how long a label is are below all letters.
_START = HEADER_SIZE - 2
_CASE = bytes(0x20 if 0x41 <= octet & ~0x20 <= 0x5A else 0 for octet in range(256))


class Letters:
    """A query without its ID, taken apart: `name` is what may be spelled in many ways, `size` long.

    It is given folded, and up to the first octet of 0: that is all of it but for its end, unless a
    label holds such an octet. `head` and `behind` are what is around it; `any` says whether it is
    worth spelling by chance: it has letters, and more than one.
    """

    __slots__ = ("_case", "_name", "any", "behind", "head", "name", "size")

    def __init__(self, tail: bytes) -> None:
        end = tail.index(0, _START)
        self.head, self.name, self.behind = tail[:_START], tail[_START:end], tail[end:]
        self.size = len(self.name)
        self._name = int.from_bytes(self.name, "big")
        self._case = int.from_bytes(self.name.translate(_CASE), "big")
        self.any = self._case != 0 and self.size > 2

    def by(self, chance: bytes) -> bytes:
        """Return the name with capitals where `chance` has them: bit 0x20 of the octet there.

        `chance` is as long as the name.
        """
        turned = self._name ^ (self._case & int.from_bytes(chance, "big"))
        return turned.to_bytes(self.size, "big")


def asks_for(reply: bytes, name: bytes) -> bool:
    """Return whether a reply is to a name, which is given folded, however it spells that."""
    return reply[HEADER_SIZE : HEADER_SIZE + len(name)].lower() == name


def folded(reply: bytes, sent: bytes, name: bytes) -> bytes:
    """Return a reply to a name that was sent spelled as `sent` as if it had been sent as `name`.

    Records that repeat it in full are of that spelling then, too.
    """
    end = HEADER_SIZE + len(sent)
    rest = reply[end:]
    # Without its end a short one may be there by chance: in an address, in a key.
    if sent + b"\0" in rest:
        rest = rest.replace(sent + b"\0", name + b"\0")
    return b"".join((reply[:HEADER_SIZE], name, rest))
