"""Numbers of the DNS protocol (IANA registries) and their mnemonics."""

from __future__ import annotations

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT = 1, 2, 5, 6, 12, 13, 15, 16
AAAA, SRV, NAPTR, DNAME, OPT, DS, RRSIG, HTTPS = 28, 33, 35, 39, 41, 43, 46, 65
NSEC, NSEC3 = 47, 50
TKEY, TSIG, IXFR, AXFR, ANY = 249, 250, 251, 252, 255

IN, CLASS_ANY = 1, 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN = range(7)
BADVERS, BADCOOKIE = 16, 23

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE_MASK, RCODE_MASK = 0x7800, 0x000F

ECS, COOKIE, KEEPALIVE, EDE = 8, 10, 11, 15
EDE_STALE, EDE_STALE_NXDOMAIN, EDE_PROHIBITED, EDE_BLOCKED = 3, 19, 18, 15
EDE_NOT_READY, EDE_NO_AUTHORITY, EDE_NETWORK, EDE_OTHER = 14, 22, 23, 0
# Prohibited and Not Authoritative: who says so did not look for the name (RFC 8914 section 4).
NOT_LOOKED_FOR = frozenset((18, 20))

RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
    6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS",
    23: "BADCOOKIE",
}  # fmt: skip
TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT",
    28: "AAAA", 33: "SRV", 35: "NAPTR", 39: "DNAME", 41: "OPT", 43: "DS", 46: "RRSIG",
    47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 249: "TKEY",
    250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}  # fmt: skip
_TYPE_NUMBERS = {text: number for number, text in TYPES.items()}
EDE_TEXT = {
    0: "other error", 3: "stale answer", 14: "not ready", 15: "blocked", 18: "prohibited",
    19: "stale NXDOMAIN answer", 22: "no reachable authority", 23: "network error",
}  # fmt: skip


def rcode_text(rcode: int) -> str:
    """Return the mnemonic of a response code, `RCODE<n>` when it has none."""
    return RCODES.get(rcode, f"RCODE{rcode}")


def type_text(rtype: int) -> str:
    """Return the mnemonic of a record type, `TYPE<n>` (RFC 3597) when it has none."""
    return TYPES.get(rtype, f"TYPE{rtype}")


def type_number(text: str) -> int | None:
    """Return the number of a record type given as mnemonic or `TYPE<n>`, None if unknown."""
    upper = text.upper()
    if upper in _TYPE_NUMBERS:
        return _TYPE_NUMBERS[upper]
    number = upper[4:]
    if upper.startswith("TYPE") and number.isascii() and number.isdigit() and int(number) < 65536:
        return int(number)
    return None
