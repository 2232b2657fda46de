"""What the peers do unlike the others, with the reason where it is known. For the figures only."""

from __future__ import annotations

from tests.integration.differ.reasons import (
    Reason,
    Where,
    asked,
    below,
    big,
    both,
    consul,
    everywhere,
    marked,
    odd,
    special,
)

# kind, condition, reason
Row = tuple[str, Where, str]

LOOKS_ITSELF = "it is a resolver: it looks for the target of an alias itself"
CUT = "Consul cut it without TC, and that is passed on"
ASKED_ONLY = "what the question did not ask for is left out"
# Their aliases lead into Consul's domain.
into = below(
    *(f"{label}.example.test" for label in ("into", "intolist", "intonothing", "consuls")),
    *("in.other.test", "in.plain.test"),
)
RESOLVER: tuple[Row, ...] = (
    ("AA not set", everywhere, "nothing second-hand has AA"),
    ("*", into, LOOKS_ITSELF),
    ("*", odd, "what an upstream may say is looked into: order, owners, TTLs, names of others"),
    ("answer: fewer records", big, CUT),
    ("additional: *", big, CUT),
    ("authority: *", consul, ASKED_ONLY),
    ("additional: *", consul, ASKED_ONLY),
    ("NXDOMAIN instead of NOERROR", consul, "what is denied for one type is denied for all"),
    ("NOERROR instead of NXDOMAIN", consul, "an answer for one type is there: so is the name"),
    ("owners spelled *", everywhere, "names are kept as they were written first, or as asked"),
    ("a*", consul, "records that are not of the type asked are left out"),
    ("T* *set", below("far.example.test"), "names are written in more octets, or fewer"),
)
UNBOUND: tuple[Row, ...] = (
    ("REFUSED instead of *", marked("nord"), "RD=0 is for those who may look into its cache"),
    ("AD set", everywhere, "AD is for who asks with DO, and with CD, too"),
    *RESOLVER,
)
BIND: tuple[Row, ...] = (
    ("*", marked("nord"), "RD=0 is answered from the cache, or with servers to ask"),
    ("RA not set", marked("v1"), "BADVERS has no RA"),
    ("EDNS option 10", marked("cookie"), "it knows cookies (RFC 7873)"),
    ("T* set", marked("cookie"), "the cookie needs room, too"),
    ("*", special, "names of RFC 6761 are nothing special"),
    ("SERVFAIL instead of *", below("many.plain.test", "huge.plain.test"), "100 records are most"),
    ("*", asked("ANY", "RRSIG", "NSEC"), "ANY, RRSIG and NSEC are answered from the cache"),
    ("a*", below("wild.example.test"), "denials are made of proofs in the cache, too many of them"),
    ("T*", below("txt3k.example.test", "sixty.example.test"), "datagrams have 1232 octets at most"),
    ("a* only here", everywhere, "addresses of targets are added, proofs, and aliases of a loop"),
    ("additional: left out", marked("do"), "addresses have no room"),
    ("extended error", everywhere, "of a loop of aliases, why"),
    ("SERVFAIL instead of *", consul, "an answer without the type asked is an error"),
    ("no reply", consul, "the same, later than in 3 s"),
    ("AD set", consul, "what is not to be validated has AD, too"),
    ("AD *set", everywhere, "AD is not in what is cut, nor, at times, with CD"),
    *RESOLVER,
)
PASSED = "what the server behind it says is passed on as it is"
DNSDIST: tuple[Row, ...] = (
    ("REFUSED instead of *", everywhere, PASSED),
    ("* instead of BADVERS", marked("v1"), PASSED),
    ("DO not set", below("consul", "10.in-addr.arpa", "odd.test"), PASSED),
    ("no EDNS", everywhere, PASSED),
    ("EDNS size *", everywhere, PASSED),
    ("owners spelled *", everywhere, PASSED),
    ("malformed", big, "a datagram of more than 4,096 octets is cut anywhere"),
    ("AA set", everywhere, PASSED),
    ("RA not set", everywhere, PASSED),
    ("extended error", everywhere, PASSED),
    ("a*", everywhere, PASSED),
    ("A* set", everywhere, PASSED),
    ("T* in the *", everywhere, PASSED),
    ("NXDOMAIN instead of NOERROR", everywhere, "aliases into Consul are not followed"),
    ("NOERROR instead of NXDOMAIN", everywhere, "aliases out of Consul are not followed"),
    ("TC not set", both(big, asked("A", "SRV")), CUT),
    ("TC set", everywhere, PASSED),
)
OF_PEERS = tuple(
    Reason(server, *row)
    for server, rows in (("unbound", UNBOUND), ("bind", BIND), ("dnsdist", DNSDIST))
    for row in rows
)
