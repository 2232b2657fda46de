"""Real primaries that take updates (RFC 2136) and give transfers, by TSIG: BIND, Knot, PowerDNS.

Each has the zone ORIGIN with an apex and nothing else, on a loopback address of its own.
"""

from __future__ import annotations

import base64
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from tests.integration.recursors import own_copy, tool
from tests.loopback import free_port

ORIGIN = "svc.example.com"
KEY_NAME = "publisher"
SECRET = base64.b64encode(b"a secret of thirty-two octets...").decode()
OTHER_SECRET = base64.b64encode(b"another of thirty-two octets....").decode()
APEX = """\
$TTL 300
@ SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 60
@ NS ns.example.com.
"""
BIND_KEY = 'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'
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
}};
controls {{ {control} }};
logging {{
    channel updates {{ file "{folder}/updates.log"; print-time yes; severity debug 3; }};
    category update {{ updates; }};
    category update-security {{ updates; }};
    category default {{ default_stderr; }};
}};
{keys}
zone "{origin}" {{
    file "zone";
    allow-transfer {{ key {name}; key second; }};
    {statements}
}};
{more}
"""
BIND_PRIMARY = """\
    type primary;
    allow-update {{ key {name}; key second; }};
    ixfr-from-differences no;
"""
BIND_FORWARDING = """\
    type secondary;
    primaries {{ {host} port {port} key {name}; }};
    allow-update-forwarding {{ any; }};
    masterfile-format text;
"""
BIND_CONTROL = 'inet {host} port {port} allow {{ any; }} keys {{ "rndc"; }};'
KNOT = """\
server:
    listen: {host}@{port}
    rundir: {folder}
database:
    storage: {folder}
log:
  - target: stderr
    any: debug
key:
  - id: {name}
    algorithm: hmac-sha256
    secret: {secret}
  - id: second
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: all
    key: [{name}, second]
    action: [transfer, update]
zone:
  - domain: {origin}
    storage: {folder}
    file: zone
    acl: all
    zonefile-load: whole
    journal-content: changes
{statements}
"""
POWERDNS_BARE = """\
launch=gsqlite3
gsqlite3-database={folder}/zones.sqlite3
gsqlite3-dnssec=yes
local-address={host}
local-port={port}
socket-dir={folder}
setuid=
setgid=
"""
POWERDNS = f"""\
{POWERDNS_BARE}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
disable-axfr=no
allow-axfr-ips=
"""
SIGNING = {dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3}
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")


class Primary(Child):
    """One of them, on `address`:`port`."""

    def __init__(
        self, command: list[str | Path], folder: Path, guard: Guard, host: str, port: int
    ) -> None:
        super().__init__(Path(command[0]).name, command, folder / "server.log", guard)
        self.folder = folder
        self.address = host
        self.port = port
        self.keyring = {
            dns.name.from_text(name): dns.tsig.Key(name, SECRET, "hmac-sha256")
            for name in (KEY_NAME, "second")
        }

    def start(self) -> None:
        """Start it and return when it gives the zone."""
        super().start()
        self.wait_until(self.serial, "serving the zone")

    def listens(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection((self.address, self.port), 1.0).close()
        except OSError:
            return False
        return True

    def serial(self, zone: str = ORIGIN) -> int | None:
        """The serial of a zone that it answers with, None while it does not."""
        query = dns.message.make_query(zone, "SOA")
        try:
            reply = dns.query.tcp(query, self.address, 1.0, self.port)
        except (OSError, dns.exception.DNSException):
            return None
        found = [one for one in reply.answer if one.rdtype == dns.rdatatype.SOA]
        return int(str(found[0][0]).split()[2]) if found else None

    def zone(self) -> dns.zone.Zone:
        """The whole zone, by transfer."""
        found = dns.zone.Zone(ORIGIN, relativize=True)
        query, _ = dns.xfr.make_query(
            found, serial=None, keyring=self.keyring, keyname=dns.name.from_text("second")
        )
        dns.query.inbound_xfr(self.address, found, query, self.port, PATIENCE_S, PATIENCE_S)
        return found

    def records(self) -> dict[str, set[str]]:
        """All but the apex and what a server adds to sign: {"web A": {"10.0.0.1"}}."""
        return {
            f"{name} {dns.rdatatype.to_text(rdataset.rdtype)}": {str(one) for one in rdataset}
            for name, rdataset in self.zone().iterate_rdatasets()
            if str(name) != "@" and rdataset.rdtype not in SIGNING
        }

    def update(self) -> dns.update.UpdateMessage:
        """A message of somebody else's, with a key of theirs."""
        return dns.update.UpdateMessage(
            ORIGIN, keyring=self.keyring, keyname=dns.name.from_text("second")
        )

    def send(self, message: dns.message.Message) -> str:
        """What becomes of it, as a code."""
        reply = dns.query.tcp(message, self.address, PATIENCE_S, self.port)
        return dns.rcode.to_text(reply.rcode())


def start_bind(
    folder: Path, guard: Guard, host: str, more: str = "", control: int = 0,
    *, statements: str = "", port: int = 0, forwards_to: int = 0,
) -> Primary:  # fmt: skip
    """BIND; `control` is a port for rndc with the key of that name, which `more` has.

    `statements` are more about the zone; `forwards_to` is the port of its primary, where it is a
    secondary that forwards updates.
    """
    port = port or free_port(host)
    if not forwards_to:
        (folder / "zone").write_text(APEX)
    keys = "".join(
        BIND_KEY.format(name=name, secret=SECRET) for name in (KEY_NAME, "second", "weak")
    )
    kind = BIND_FORWARDING if forwards_to else BIND_PRIMARY
    text = BIND.format(
        folder=folder, host=host, port=port, keys=keys, name=KEY_NAME, origin=ORIGIN, more=more,
        control=BIND_CONTROL.format(host=host, port=control) if control else "",
        statements=kind.format(name=KEY_NAME, host=host, port=forwards_to) + statements,
    )
    (folder / "named.conf").write_text(text)
    named = own_copy("named", folder)
    return _started(
        Primary([named, "-f", "-n", "1", "-c", folder / "named.conf"], folder, guard, host, port)
    )


def start_knot(
    folder: Path, guard: Guard, host: str, more: str = "", *, statements: str = ""
) -> Primary:
    """Knot DNS; `more` are more of its zones, `statements` more about the first."""
    port = free_port(host)
    (folder / "zone").write_text(APEX)
    text = KNOT.format(
        folder=folder, host=host, port=port, name=KEY_NAME, secret=SECRET, origin=ORIGIN,
        statements=statements,
    )
    (folder / "knot.conf").write_text(text + more)
    command: list[str | Path] = [own_copy("knotd", folder), "-c", folder / "knot.conf"]
    return _started(Primary(command, folder, guard, host, port))


def start_powerdns(
    folder: Path, guard: Guard, host: str, commands: Sequence[Sequence[str]] = ()
) -> Primary:
    """PowerDNS, its zones in SQLite; `commands` are more for pdnsutil."""
    port = free_port(host)
    make_database(folder)
    (folder / "pdns.conf").write_text(POWERDNS.format(folder=folder, host=host, port=port))
    (folder / "zone").write_text(APEX)
    keys = (KEY_NAME, "second")
    pdnsutil(folder, "load-zone", ORIGIN, str(folder / "zone"))
    for name in keys:
        pdnsutil(folder, "import-tsig-key", name, "hmac-sha256", SECRET)
    pdnsutil(folder, "set-meta", ORIGIN, "TSIG-ALLOW-AXFR", *keys)
    pdnsutil(folder, "set-meta", ORIGIN, "TSIG-ALLOW-DNSUPDATE", *keys)
    for words in commands:
        pdnsutil(folder, *words)
    command: list[str | Path] = [
        own_copy("pdns_server", folder), f"--config-dir={folder}", "--guardian=no", "--daemon=no",
    ]  # fmt: skip
    return _started(Primary(command, folder, guard, host, port))


def make_database(folder: Path) -> None:
    """Make an empty one for PowerDNS."""
    with sqlite3.connect(folder / "zones.sqlite3") as database:
        database.executescript(SCHEMA.read_text())
    database.close()


def pdnsutil(folder: Path, *words: str) -> None:
    """Run it for a server's folder."""
    subprocess.run(
        [tool("pdnsutil"), f"--config-dir={folder}", *words], check=True, capture_output=True
    )


def _started(primary: Primary) -> Primary:
    try:
        primary.start()
    except BaseException:
        primary.kill()
        raise
    return primary
