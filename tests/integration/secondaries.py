"""Real secondaries of a hidden primary, by TSIG: BIND, NSD, Knot DNS and PowerDNS.

Each has an address of its own on loopback, and answers what it has pulled from either of two
primaries, which have the same port.
"""

from __future__ import annotations

import base64
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone

from consulfwd.dev.child import Child, Guard
from tests.integration.recursors import own_copy, tool
from tests.loopback import free_port

ORIGIN = "svc.example.com"
KEY_NAME = "transfer"
SECRET = base64.b64encode(b"a secret of thirty-two octets...").decode()
KEY = dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256")
# Of each, what the page on this says, which is tried so: here is only what it leaves to the site.
PAGE = Path(__file__).parent.parent.parent / "docs" / "publish-targets-primary.md"
BIND = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    empty-zones-enable no;
    transfer-source {host};
}};
controls {{ }};
logging {{
    channel all {{ stderr; severity debug 1; print-category yes; print-severity yes; }};
    category default {{ all; }};
    category xfer-in {{ all; }};
    category notify {{ all; }};
}};
{shown}
"""
NSD = """\
server:
    ip-address: {host}@{port}
    zonesdir: "{folder}"
    database: ""
    username: ""
    chroot: ""
    pidfile: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    server-count: 1
    verbosity: 3
    xfrd-reload-timeout: 0
    tcp-timeout: 2
remote-control:
    control-enable: no
{shown}
    outgoing-interface: {host}
"""
KNOT = """\
server:
    listen: {host}@{port}
    rundir: {folder}
database:
    storage: {folder}
log:
  - target: stderr
    any: info
template:
  - id: default
    storage: {folder}
{shown}
"""
POWERDNS = """\
launch=gsqlite3
gsqlite3-database={folder}/zones.sqlite3
local-address={host}
local-port={port}
query-local-address={host}
socket-dir={folder}
secondary=yes
xfr-cycle-interval=60
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
loglevel=6
"""
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")


class Secondary(Child):
    """One of them, on `address`:`port`."""

    def __init__(
        self, command: list[str | Path], folder: Path, guard: Guard, host: str, port: int
    ) -> None:
        super().__init__(Path(command[0]).name, command, folder / "server.log", guard)
        # Who may have all of it.
        self.known = ""
        self.address = host
        self.port = port

    def serial(self) -> int | None:
        """The serial it answers with, None while it has none."""
        query = dns.message.make_query(ORIGIN, "SOA")
        try:
            reply = dns.query.udp(query, self.address, 0.5, self.port)
        except (OSError, dns.exception.DNSException):
            return None
        found = [one for one in reply.answer if one.rdtype == dns.rdatatype.SOA]
        return int(found[0][0].serial) if found else None

    def addresses(self, name: str) -> set[str]:
        """The addresses of a name below the zone's."""
        query = dns.message.make_query(f"{name}.{ORIGIN}", "A")
        try:
            reply = dns.query.udp(query, self.address, 0.5, self.port)
        except (OSError, dns.exception.DNSException):
            return set()
        return {str(one) for found in reply.answer for one in found}

    def answers(self) -> bool:
        """Does it answer at all?"""
        query = dns.message.make_query(ORIGIN, "SOA")
        try:
            dns.query.udp(query, self.address, 0.25, self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return True

    def zone(self) -> dns.zone.Zone:
        """All it has, by a transfer."""
        found = dns.zone.Zone(ORIGIN, relativize=True)
        query, _ = dns.xfr.make_query(
            found, serial=None, keyring={KEY.name: KEY}, keyname=KEY.name
        )
        dns.query.inbound_xfr(
            self.address, found, query, self.port, timeout=5.0, lifetime=30.0, source=self.known
        )
        return found

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")


# Where the primaries are.
Two = tuple[str, str]
Start = Callable[[Path, Guard, str, Two, int], Secondary]


def start_bind(folder: Path, guard: Guard, host: str, primaries: Two, port: int) -> Secondary:
    """BIND."""
    own = _write(folder / "named.conf", BIND, host, _shown("BIND", primaries, port))
    named = own_copy("named", folder)
    command: list[str | Path] = [named, "-f", "-n", "1", "-c", folder / "named.conf"]
    return _started(Secondary(command, folder, guard, host, own), primaries)


def start_nsd(folder: Path, guard: Guard, host: str, primaries: Two, port: int) -> Secondary:
    """NSD."""
    own = _write(folder / "nsd.conf", NSD, host, _shown("NSD", primaries, port))
    command: list[str | Path] = [tool("nsd"), "-d", "-c", folder / "nsd.conf"]
    return _started(Secondary(command, folder, guard, host, own), primaries)


def start_knot(folder: Path, guard: Guard, host: str, primaries: Two, port: int) -> Secondary:
    """Knot DNS."""
    shown = _shown("Knot DNS", primaries, port)
    shown = shown.replace(f"@{port}\n", f"@{port}\n    via: {host}\n")
    own = _write(folder / "knot.conf", KNOT, host, shown)
    command: list[str | Path] = [tool("knotd"), "-c", folder / "knot.conf"]
    return _started(Secondary(command, folder, guard, host, own), primaries)


def start_powerdns(folder: Path, guard: Guard, host: str, primaries: Two, port: int) -> Secondary:
    """PowerDNS, its zones in SQLite."""
    with sqlite3.connect(folder / "zones.sqlite3") as database:
        database.executescript(SCHEMA.read_text())
    database.close()
    own = _write(folder / "pdns.conf", POWERDNS, host)
    for line in _shown("PowerDNS", primaries, port).splitlines():
        name, *words = line.split()
        subprocess.run(
            [tool(name), f"--config-dir={folder}", *words], check=True, capture_output=True
        )
    command: list[str | Path] = [
        tool("pdns_server"), f"--config-dir={folder}", "--guardian=no", "--daemon=no",
        "--disable-syslog",
    ]  # fmt: skip
    return _started(Secondary(command, folder, guard, host, own), primaries)


ALL: dict[str, Start] = {
    "BIND": start_bind, "NSD": start_nsd, "Knot": start_knot, "PowerDNS": start_powerdns,
}  # fmt: skip


def _shown(title: str, primaries: Two, port: int) -> str:
    """What the page says of one of them, with our addresses and the secret in it."""
    part = PAGE.read_text().partition(f"\n### {title}\n")[2]
    found = re.search(r"^```\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    text = found[1]
    for theirs, ours in (
        ('"..."', f'"{SECRET}"'), ("...", SECRET), ("5353", str(port)), ("10.0.0.5", primaries[0]),
        ("10.0.0.6", primaries[1]), ("10.0.0.0/24", "127.0.0.0/8"),
    ):  # fmt: skip
        text = text.replace(theirs, ours)
    return text


def _write(path: Path, text: str, host: str, shown: str = "") -> int:
    own = free_port(host)
    path.write_text(text.format(folder=path.parent, host=host, port=own, shown=shown))
    return own


def _started(secondary: Secondary, primaries: Two) -> Secondary:
    secondary.known = primaries[0]
    try:
        secondary.start()
        secondary.wait_until(secondary.answers, "answering")
    except BaseException:
        secondary.kill()
        raise
    return secondary
