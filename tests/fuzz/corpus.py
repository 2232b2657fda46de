"""Good messages, and ways to spoil them. The same seed gives the same bytes."""

from __future__ import annotations

import random

from tests.dns.packets import packet

WEB = "web.service.consul"
SOA = "au consul. 60 IN SOA ns.consul. root.consul. 7 3600 600 86400 15"
QUERIES = [
    packet(f"{WEB} A", flags="RD"),
    packet(f"{WEB} SRV", flags="RD", edns=1232),
    packet(f"{WEB} ANY", flags="RD CD", edns=4096, do=True),
    packet(". NS", flags="RD", edns=512),
]
REPLIES = [
    (f"{WEB} A", packet(f"{WEB} A", *(f"an {WEB}. 0 IN A 10.0.0.{n}" for n in range(3)))),
    (
        f"{WEB} SRV",
        packet(
            f"{WEB} SRV",
            *(f"an {WEB}. 5 IN SRV 1 1 {n} n{n}.node.dc1.consul." for n in range(3)),
            *(f"ad n{n}.node.dc1.consul. 0 IN A 10.0.0.{n}" for n in range(3)),
            edns=1232,
        ),
    ),
    (f"{WEB} MX", packet(f"{WEB} MX", SOA, rcode=3, edns=1232, do=True)),
    (
        "www.consul A",
        packet(
            "www.consul A",
            "an www.consul. 9 IN CNAME www.example.com.",
            "an www.example.com. 300 IN MX 10 mail.www.example.com.",
            "an www.example.com. 300 IN A 192.0.2.1",
            "au example.com. 300 IN NS a.ns.example.com.",
            'ad a.ns.example.com. 300 IN TXT "some" "text"',
            edns=1232,
        ),
    ),
]
# What the wire code looks at: pointers, label types, types, lengths, the ends of ranges.
TELLING = bytes((0, 1, 2, 5, 6, 12, 15, 33, 41, 63, 64, 128, 191, 192, 193, 255))


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A copy with one to four places changed, cut out, doubled, or the end missing."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(8):
            case 0 | 1 | 2 if out:
                out[at] = rng.choice(TELLING)
            case 3 if out:
                out[at] ^= 1 << rng.randrange(8)
            case 4:
                out[at : at + rng.randint(1, 6)] = b""
            case 5:
                out[at:at] = rng.randbytes(rng.randint(1, 6))
            case 6:
                out[at:at] = b"\xc0" + bytes((rng.randrange(256),))
            case _:
                start = rng.randrange(len(out) + 1)
                out[at:at] = out[start : start + rng.randint(1, 30)]
    return bytes(out)


def spoiled(rng: random.Random, good: list[bytes]) -> bytes:
    """Bytes at random, a header and bytes at random, or a spoiled good message."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.choice((0, 1, 11, 12, 13, rng.randrange(600))))
    if kind == 1:
        return rng.choice(good)[:12] + rng.randbytes(rng.randrange(200))
    if kind == 2:
        return rng.choice(good)[:12] + bytes(rng.choices(TELLING, k=rng.randrange(200)))
    return mutated(rng, rng.choice(good))
