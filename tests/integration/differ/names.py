"""The names that are asked for, each with the types it is asked for most."""

from __future__ import annotations

from tests.integration.differ.odd import REPLIES, ZONE
from tests.integration.differ.zones import LONG_NAME

Named = list[tuple[str, list[str]]]

# Names below example.test: their types, then they; @ is the zone itself.
EXAMPLE = """
A MX TXT CAA NS SOA DNSKEY DS NSEC: @
A: ns multi mixed day ever a.b.c.d.ent d.ent x.ent thirty
A AAAA: v4 v6 sixty zero
A AAAA HTTPS NSEC: www
A NS: ent wild
A MX: mail
TXT: text txt3k zero
MX: manymail
SRV: _tcp _sip._tcp
TLSA: _443._tcp.www
CAA NAPTR SSHFP LOC URI HINFO RP SVCB TYPE65280 TYPE65281 ANY A: types
A AAAA MX CNAME: alias spelled chain1 across abroad around
A AAAA CNAME: nowhere noaddress outofhere self loop1 tobogus deep0 deep12
A AAAA SRV TXT CNAME: into
A SRV CNAME: intolist intonothing
DNAME A MX: old moved
A AAAA: a.old b.old no.old www.moved www.x.moved web.consuls b.far
A TXT AAAA: any.wild a.b.wild *.wild tame.wild y.tame.wild
A MX AAAA: one.wildalias two.wildalias one.wildabroad
A TXT AAAA: bogus
NS DS DNSKEY TXT SOA: child insecure
A AAAA: www.child any.wild.child up.child no.child www.insecure x.wild.insecure up.insecure
A TXT: no.insecure
"""
OTHERS = """
SOA DNSKEY DS NSEC3PARAM A: other.test
A AAAA: www.other.test multi.other.test y.z.other.test a.wild.other.test no.other.test
A AAAA: back.other.test lost.other.test in.other.test
SOA NS DS A: plain.test
A AAAA TXT: www.plain.test text.plain.test a.wild.plain.test zero.plain.test no.plain.test
A AAAA: across.plain.test in.plain.test lost.plain.test www.down.plain.test
A: many.plain.test
SRV: servers.plain.test
A AAAA: www.over.test
SOA DNSKEY: over.test
A NS: www.lame.test lame.test
PTR: 10.2.0.192.in-addr.arpa 11.2.0.192.in-addr.arpa
NS SOA DNSKEY A: .
A NS DS: test nothing-at-all x.y.nothing
"""
# Below consul; @ is the domain itself.
CONSUL = """
SOA NS SOA NS A ANY DS DNSKEY: @
A NS: service node query
A AAAA SRV TXT: web.service galeradb.service nothing.service mixed.service v6only.service
A SRV: big.service consul.service web.service.dc1 failed.service hidden.service
A: web.service.dc9 server-1 a.b.c.d xyz.addr web.connect web.ingress
A AAAA SRV CNAME: external.service
A SRV: primary.galeradb.service nosuch.galeradb.service
SRV: _web._tcp _galeradb._tcp.service _web._tcp.service.dc1 _nothing._tcp _galeradb._primary
A AAAA TXT ANY: server-1.node texts.node
A AAAA: big1.node six.node nothing.node server-2.node.dc1
A SRV: galera-near.query web.query nothing.query
A AAAA: 0a00010b.addr 0a00010b.addr.dc1 fd000000000000000000000000000001.addr
"""
REVERSE = """
PTR: 99.99.0.10 0.10 10
PTR PTR TXT A: 11.10.0.10 1.30.0.10 1.50.0.10
"""
SPECIAL = """
A AAAA SOA NS: localhost
A: x.invalid x.onion
PTR: 1.0.0.127.in-addr.arpa
"""
# Where names that nobody has are made up.
MADE_UP = (
    *("example.test", "other.test", "plain.test", "wild.example.test", "service.consul"),
    *("child.example.test", "wildalias.example.test", "wild.other.test", "", "node.consul"),
)


def groups() -> dict[str, Named]:
    """Every name with its types, by group."""
    return {
        "zones": [
            *_read(EXAMPLE, "example.test"),
            *_read(OTHERS),
            (LONG_NAME, ["A", "TXT", "AAAA"]),
            (f"{'a' * 50}.far.example.test", ["A"]),
        ],
        "consul": _read(CONSUL, "consul"),
        "reverse": _read(REVERSE, "in-addr.arpa"),
        "odd": [(f"{label}.{ZONE}", ["A"]) for label in REPLIES],
        "special": _read(SPECIAL),
        "huge": [("huge.plain.test", ["TXT"])],
    }


def _read(text: str, domain: str = "") -> Named:
    found: Named = []
    for line in text.strip().splitlines():
        types, _, names = line.partition(": ")
        for name in names.split():
            whole = name if not domain else f"{name}.{domain}" if name != "@" else domain
            found.append((whole, types.split()))
    return found
