"""The signed zones behind the servers compared: what is in them, and signing them offline.

A root of its own that is the trust anchor, zones below it signed with NSEC and with NSEC3, one
that is not signed, one whose signatures are over, one that nobody serves. What is asked about them
is in `questions`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.recursors import tool

# TTLs stay within one class of `facts` while a run lasts.
HEAD = """\
$TTL 3000
@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 2000
@ NS ns.example.test.
"""
# With the domain 255 octets.
LONG = ".".join(["l" * 63, "o" * 63, "n" * 63, "g" * 48])
LONG_NAME = f"{LONG}.example.test"
# What is put behind it by the DNAME is too long then.
FAR = ".".join(["f" * 63, "a" * 63, "r" * 63])

ROOT = HEAD + "ns.example.test. A 127.0.0.1\n"
EXAMPLE = (
    HEAD
    + f"""\
ns A 127.0.0.1
@ A 192.0.2.1
@ MX 10 mail
@ TXT "v=spf1 -all"
@ CAA 0 issue "ca.example"
www A 192.0.2.10
www AAAA 2001:db8::10
www HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.10
multi A 192.0.2.21
multi A 192.0.2.22
multi A 192.0.2.23
v4 A 192.0.2.4
db A 192.0.2.20
db AAAA 2001:db8::20
v6 AAAA 2001:db8::6
MiXeD A 192.0.2.5
mail A 192.0.2.25
mail MX 10 www
mail MX 20 mail
text TXT "one" "two" ""
zero 0 A 192.0.2.30
zero 0 TXT "never kept"
day 50000 A 192.0.2.31
ever 2147483647 A 192.0.2.32
_sip._tcp SRV 10 60 5060 www
_sip._tcp SRV 10 40 5060 v6
a.b.c.d.ent A 192.0.2.33
types CAA 128 issuewild ";"
types NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
types SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789
types LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
types URI 10 1 "https://www.example.test/"
types HINFO "PC" "none"
types RP hostmaster text
types SVCB 1 www alpn=dot port=853
types TYPE65280 \\# 6 0a0b0c0d0e0f
types TYPE65281 \\# 0
_443._tcp.www TLSA 3 1 1 0d6fce3a6a4b8ee3a4d9e6b6a0b3c0b1e9f4a0d2b7c8e5f60718293a4b5c6d7e
alias CNAME www
spelled CNAME WwW.Example.TEST.
chain1 CNAME chain2
chain2 CNAME chain3
chain3 CNAME alias
across CNAME www.other.test.
abroad CNAME www.plain.test.
around CNAME back.other.test.
nowhere CNAME nothing
noaddress CNAME v4
outofhere CNAME nothing.at.all.
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
into CNAME web.service.consul.
intonothing CNAME nothing.service.consul.
intolist CNAME big.service.consul.
tobogus CNAME bogus
old DNAME new
a.new A 192.0.2.40
b.new CNAME www
moved DNAME other.test.
far DNAME {FAR}.example.test.
consuls DNAME service.consul.
*.wild A 192.0.2.50
*.wild TXT "wild"
x.tame.wild A 192.0.2.51
*.wildalias CNAME www
*.wildabroad CNAME multi.other.test.
bogus A 192.0.2.66
bogus TXT "true"
child NS ns.example.test.
insecure NS ns.example.test.
{LONG} A 192.0.2.99
{LONG} TXT "far out"
"""
    + "".join(f'txt3k TXT "{number:03d}{"x" * 197}"\n' for number in range(15))
    + "".join(f"sixty A 192.0.2.{number}\n" for number in range(100, 160))
    + "".join(f"sixty AAAA 2001:db8::{number}\n" for number in range(100, 160))
    + "".join(f"thirty A 192.0.2.{number}\n" for number in range(100, 130))
    + "".join(f"manymail MX {number} mail{number}\n" for number in range(20))
    + "".join(f"mail{number} A 192.0.2.{number}\n" for number in range(20))
    + "".join(f"deep{number} CNAME deep{number + 1}\n" for number in range(20))
    + "deep20 A 192.0.2.60\n"
)
CHILD = HEAD + (
    'www A 192.0.2.70\n@ TXT "child"\n*.wild AAAA 2001:db8::70\nup CNAME alias.example.test.\n'
)
OTHER = HEAD + (
    "www A 192.0.2.80\nwww AAAA 2001:db8::80\nback CNAME alias.example.test.\n"
    "multi A 192.0.2.81\nmulti A 192.0.2.82\nx.y.z A 192.0.2.83\n*.wild A 192.0.2.84\n"
    "lost CNAME nothing.example.test.\nin CNAME web.service.consul.\n"
)
PLAIN = HEAD + (
    'www A 192.0.2.90\nwww AAAA 2001:db8::90\ntext TXT "plain"\n*.wild A 192.0.2.91\n'
    "across CNAME www.example.test.\nin CNAME web.service.consul.\nlost CNAME nothing\n"
    "zero 0 A 192.0.2.92\nservers SRV 0 0 80 www\ndown DNAME example.test.\n"
    + "".join(f"many A 198.51.100.{number}\n" for number in range(1, 251))
    # Nearly all that a message over TCP can hold.
    + "".join(f'huge TXT "{number:03d}{"y" * 247}"\n' for number in range(240))
)
REVERSE = HEAD + "10 PTR www.example.test.\n21 PTR multi.example.test.\n"


Command = list[str | Path]

# Not verified when it is signed: it would not do.
EXPIRED = ("-P", "-s", "20200101000000", "-e", "20200201000000")


@dataclass(frozen=True)
class Zone:
    """A zone by name; `options` sign it, None leaves it unsigned."""

    name: str
    text: str
    options: Sequence[str] | None = ()

    @property
    def stem(self) -> str:
        return self.name.replace(".", "-") or "root"


# Children first: their DS belongs into the parent.
ZONES = (
    Zone("child.example.test", CHILD),
    Zone("insecure.example.test", CHILD, None),
    Zone("example.test", EXAMPLE),
    Zone("other.test", OTHER, ("-3", "-", "-H", "0")),
    Zone("over.test", CHILD, EXPIRED),
    Zone("plain.test", PLAIN, None),
    Zone("2.0.192.in-addr.arpa", REVERSE, None),
    Zone("", ROOT),
)
# Nobody serves it.
LAME = "lame.test"
BOGUS = ("192.0.2.66", "192.0.2.67"), ('"true"', '"false"')


@dataclass(frozen=True)
class Signed:
    """Files by zone, and the root's DS: key tag, algorithm, digest type, digest."""

    files: dict[str, Path]
    anchor: str


def sign(folder: Path) -> Signed:
    """Write and sign all zones into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for zone in ZONES:
        file = folder / f"{zone.stem}.zone"
        text = zone.text + "".join(
            _delegation(other, folder) for other in ZONES if _parent(other) == zone.name
        )
        if not zone.name:
            text += f"{LAME}. NS ns.example.test.\n"
        file.write_text(text)
        files[zone.name] = file if zone.options is None else _signed(zone, file, folder)
    example = files["example.test"]
    text = example.read_text()
    for true, false in BOGUS:
        assert true in text
        text = text.replace(true, false)
    example.write_text(text)
    found = re.search(r"IN\s+DS\s+(\d+ \d+ \d+) ([0-9A-F ]+)", (folder / "dsset-.").read_text())
    assert found
    return Signed(files, f"{found[1]} {found[2].replace(' ', '')}")


def _parent(zone: Zone) -> str | None:
    if not zone.name:
        return None
    return "example.test" if zone.name.endswith(".example.test") else ""


def _delegation(zone: Zone, folder: Path) -> str:
    ds = folder / f"dsset-{zone.name}."
    text = f"{zone.name}. NS ns.example.test.\n"
    return text + (ds.read_text() if ds.exists() else "")


def _signed(zone: Zone, file: Path, folder: Path) -> Path:
    name = f"{zone.name}."
    keygen: Command = [tool("dnssec-keygen"), "-q", "-a", "ECDSAP256SHA256", "-K", folder]
    _run([*keygen, "-f", "KSK", name], folder)
    signed = file.with_suffix(".signed")
    signzone: Command = [tool("dnssec-signzone"), "-q", "-S", "-z", "-O", "full", "-K", folder]
    assert zone.options is not None
    _run([*signzone, *zone.options, "-d", folder, "-o", name, "-f", signed, file], folder)
    return signed


def _run(command: Command, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"


