"""Records as position-independent bytes: for joining and building sections.

The slow path's tool. Each record is owner (uncompressed), type, class, TTL, length and data with
every embedded name uncompressed, so it may stand anywhere in any message.
"""

from __future__ import annotations

import struct

from consulfwd.dns import const
from consulfwd.dns.names import ROOT
from consulfwd.dns.wire import HEADER, HEADER_SIZE, RECORD, read_name, skip_name
from consulfwd.errors import WireError

QUESTION_POINTER = b"\xc0\x0c"
# More aliases than this, one to the next, nobody has.
MAX_ALIASES = 32
# The last octet of a message a pointer can lead to.
MAX_POINTER = 0x3FFF
# The sizes of records that are an address of the name asked, by how they begin.
_ADDRESSES = {(b"\xc0\x0c\0\1", 16), (b"\xc0\x0c\0\x1c", 28)}
_SRV = const.SRV.to_bytes(2, "big")
# Types of RFC 1035 whose data may hold compressed names, and those of RFC 3597 section 4 a
# receiver must expect it in (but the obsolete SIG and NXT): octets before the names, how many
# names, octets behind them. In NAPTR three character-strings stand before the name too.
NAMES_IN_RDATA = {
    const.NS: (0, 1, 0), 3: (0, 1, 0), 4: (0, 1, 0), const.CNAME: (0, 1, 0),
    const.SOA: (0, 2, 20), 7: (0, 1, 0), 8: (0, 1, 0), 9: (0, 1, 0), const.PTR: (0, 1, 0),
    14: (0, 2, 0), const.MX: (2, 1, 0), 17: (0, 2, 0), 18: (2, 1, 0), 21: (2, 1, 0),
    26: (2, 2, 0), const.SRV: (6, 1, 0), const.NAPTR: (4, 1, 0), 36: (2, 1, 0),
    const.DNAME: (0, 1, 0),
}  # fmt: skip


def read_records(data: bytes, start: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the three sections' records made position-independent, without OPT.

    `start` is where the Answer section begins. Raises WireError if the message is malformed.
    """
    sections: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    position = start
    try:
        _, _, answers, authorities, additionals = HEADER.unpack_from(data, 2)
        for section, count in zip(sections, (answers, authorities, additionals), strict=True):
            for _ in range(count):
                record, position = _read_record(data, position)
                if record is not None:
                    section.append(record)
    except (IndexError, struct.error):
        raise WireError("the response is cut short") from None
    return sections


def _read_record(data: bytes, position: int) -> tuple[bytes | None, int]:
    owner = read_name(data, position)
    position = skip_name(data, position)
    rtype, rclass, ttl, length = RECORD.unpack_from(data, position)
    position += RECORD.size
    end = position + length
    if end > len(data):
        raise WireError("a record runs past the end")
    if rtype == const.OPT:
        return None, end
    rdata = data[position:end]
    if rtype in NAMES_IN_RDATA:
        before, names, behind = NAMES_IN_RDATA[rtype]
        names_at = position + before
        if rtype == const.NAPTR:
            names_at = skip_strings(data, names_at, 3)
        parts = [data[position:names_at]]
        position = names_at
        for _ in range(names):
            parts.append(read_name(data, position))
            position = skip_name(data, position)
        if position + behind != end:
            raise WireError("a name in a record does not end where the record does")
        rdata = b"".join(parts) + data[position:end]
    return build_record(owner, rtype, ttl, rdata, rclass), end


def skip_strings(data: bytes, position: int, count: int) -> int:
    """Return the offset behind so many character-strings (RFC 1035 section 3.3).

    Raises IndexError when the data ends first.
    """
    for _ in range(count):
        position += 1 + data[position]
    return position


def build_record(owner: bytes, rtype: int, ttl: int, rdata: bytes, rclass: int = const.IN) -> bytes:
    """Return one position-independent record."""
    return owner + RECORD.pack(rtype, rclass, ttl, len(rdata)) + rdata


def owner_of(record: bytes) -> bytes:
    """Return the owner of a position-independent record, its spelling kept."""
    return record[: record_at(record)]


def record_at(record: bytes) -> int:
    """Return the offset of the type field of a position-independent record."""
    return skip_name(record, 0, pointers=False)


def type_of(record: bytes) -> int:
    """Return the type of a position-independent record."""
    at = record_at(record)
    return record[at] << 8 | record[at + 1]


def rdata_of(record: bytes) -> bytes:
    """Return the data of a position-independent record."""
    return record[record_at(record) + RECORD.size :]


def covered_by(record: bytes) -> int:
    """Return the type that a position-independent RRSIG signs (RFC 4034 section 3.1.1)."""
    return int.from_bytes(rdata_of(record)[:2], "big")


def assemble(
    name: bytes, sections: tuple[list[bytes], ...], reach: int = MAX_POINTER
) -> bytes:
    """Return sections as message body; owners equal to `name` (the question) become pointers.

    So do those equal to the target of an SRV record before them: with its address for each of
    many instances, an answer would take up much more room than as Consul sends it. None leads
    further than to the octet `reach` of the message.
    """
    folded = name.lower()
    parts = []
    targets: dict[bytes, bytes] = {}
    position = HEADER_SIZE + len(name) + 4
    for section in sections:
        for record in section:
            at = record_at(record)
            owner = record[:at]
            if owner.lower() == folded and folded != ROOT:
                owner = QUESTION_POINTER
            else:
                owner = targets.get(owner, owner)
            part = owner + record[at:]
            parts.append(part)
            if record[at : at + 2] == _SRV:
                target = record[at + RECORD.size + 6 :]
                place = position + len(part) - len(target)
                if target != ROOT and place <= reach:
                    targets.setdefault(target, (0xC000 | place).to_bytes(2, "big"))
            position += len(part)
    return b"".join(parts)


def size_of_addresses(body: bytes, count: int) -> int:
    """Return the size of each of the `count` records that a body consists of, 0 if it differs.

    It does unless each is an address of the name asked, spelled as a pointer to the question: such
    records may stand in any order as they are.
    """
    size = len(body) // count if count else 0
    head = body[:4]
    if (head, size) not in _ADDRESSES or len(body) != size * count:
        return 0
    fixed = (*enumerate(head), (10, 0), (11, size - 12))
    alike = all(body[at::size] == bytes((octet,)) * count for at, octet in fixed)
    return size if alike else 0


def alias_chain(answers: list[bytes], name: bytes) -> list[bytes]:
    """Return the names the CNAMEs lead through from `name` (folded), that one first, all folded.

    Raises WireError for a chain that loops.
    """
    aliases = {
        owner_of(record).lower(): rdata_of(record).lower()
        for record in answers
        if type_of(record) == const.CNAME
    }
    names = {name: None}
    while name in aliases:
        name = aliases[name]
        if name in names:
            raise WireError("a CNAME chain that loops")
        if len(names) > MAX_ALIASES:
            raise WireError("a CNAME chain without end")
        names[name] = None
    return list(names)


def is_rrset(answers: list[bytes]) -> bool:
    """Return whether these are several records of one owner and type, and nothing else."""
    return len(answers) > 1 and len({(owner_of(one).lower(), type_of(one)) for one in answers}) == 1
