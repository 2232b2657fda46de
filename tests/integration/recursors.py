"""Real recursors on loopback with a DNS of their own: BIND has the root and the test zones,
unbound asks there. Nothing leaves the host, and both log every query they get.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from consulfwd.dev.child import Child, Guard
from tests.loopback import free_port

HOST = "127.0.0.1"
TLS_NAME = "resolver.example.test"

ROOT_ZONE = """\
$TTL 3600
@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60
@ NS ns.example.test.
ns.example.test. A 127.0.0.1
"""
TEST_ZONE = """\
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.10
www AAAA 2001:db8::10
multi A 192.0.2.21
multi A 192.0.2.22
multi A 192.0.2.23
v4 A 192.0.2.4
alias CNAME www
chain CNAME alias
db A 192.0.2.20
db AAAA 2001:db8::20
short 1 A 192.0.2.30
mail MX 10 www
text TXT "one" "two"
_sip._tcp SRV 10 60 5060 www
"""
BIG_TXT = "".join(f'big TXT "{number:03d}{"x" * 200}"\n' for number in range(20))
REVERSE_ZONE = """\
$TTL 300
@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60
@ NS ns.example.test.
10 PTR www.example.test.
"""
TEN_ZONE = """\
$TTL 300
@ SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60
@ NS ns.example.test.
1.99.0 PTR outside.example.test.
"""
ZONES = {
    ".": ROOT_ZONE,
    "example.test": TEST_ZONE + BIG_TXT,
    "2.0.192.in-addr.arpa": REVERSE_ZONE,
    "10.in-addr.arpa": TEN_ZONE,
}
# A zone whose file is missing: BIND answers SERVFAIL.
BROKEN_ZONE = "broken.test"

BIND_OPTIONS = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    recursion yes;
    dnssec-validation no;
    notify no;
    empty-zones-enable no;
}};
controls {{ }};
logging {{
    channel queries {{ file "{queries}"; print-time yes; }};
    category queries {{ queries; }};
    category default {{ default_stderr; }};
}};
"""
BIND_ZONE = 'zone "{name}" {{ type primary; file "{file}"; }};\n'

UNBOUND_CONFIG = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: "{queries}"
    log-queries: yes
    interface: {host}@{port}
    interface: {host}@{tls_port}
    tls-port: {tls_port}
    tls-service-pem: "{folder}/cert.pem"
    tls-service-key: "{folder}/key.pem"
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    do-ip6: no
    local-zone: "test." nodefault
    local-zone: "10.in-addr.arpa." nodefault
    local-zone: "2.0.192.in-addr.arpa." nodefault
    local-zone: "refused.test." refuse
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {host}@{upstream}
"""


class Recursor(Child):
    """A recursor on `address`:`port` (UDP and TCP); unbound also on `tls_port`.

    `ca_file` is what its certificate, for `tls_name`, is verified with.
    """

    tls_name = TLS_NAME

    def __init__(
        self, command: list[str | Path], folder: Path, queries: Path, guard: Guard, port: int
    ) -> None:
        super().__init__(Path(command[0]).name, command, folder / "server.log", guard)
        self.address = HOST
        self.port = port
        self.tls_port = 0
        self.ca_file = folder / "cert.pem"
        self._queries = queries

    def start(self) -> None:
        """Start it and return when it answers from the test zone."""
        super().start()
        self.wait_until(lambda: self.answers("www.example.test"), "answering")

    def heal(self) -> None:
        """Thaw or start it again after a test that left it frozen or dead."""
        if self.frozen:
            self.thaw()
        elif not self.running:
            self.start()

    def answers(self, name: str, rtype: str = "A") -> bool:
        """Does it answer with NOERROR, within a quarter of a second?"""
        query = dns.message.make_query(name, rtype)
        try:
            reply = dns.query.udp(query, self.address, 0.25, self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return reply.rcode() == dns.rcode.NOERROR

    def queries(self) -> list[tuple[str, str]]:
        """Every query so far, oldest first: name in lower case without trailing dot, type.

        Loop tests are left out: they come when they come.
        """
        found = re.findall(
            r"(?:query: |info: [0-9.]+ )(\S+) (?:IN )?([A-Z0-9]+)(?: IN)?",
            self._queries.read_text() if self._queries.exists() else "",
        )
        queries = [(name.lower().rstrip("."), rtype) for name, rtype in found]
        return [one for one in queries if not one[0].startswith("consulfwd-loop-")]

    def asked(self, suffix: str) -> list[tuple[str, str]]:
        """Those of `queries` that are for `suffix` or below it."""
        return [q for q in self.queries() if q[0] == suffix or q[0].endswith(f".{suffix}")]


def start_bind(folder: Path, guard: Guard) -> Recursor:
    """BIND with the root zone and the test zones, recursing for nobody else: it knows all."""
    port = free_port(HOST)
    queries = folder / "queries.log"
    config = BIND_OPTIONS.format(folder=folder, host=HOST, port=port, queries=queries)
    for number, (name, text) in enumerate(ZONES.items()):
        (folder / f"{number}.zone").write_text(text)
        config += BIND_ZONE.format(name=name, file=f"{number}.zone")
    config += BIND_ZONE.format(name=BROKEN_ZONE, file="missing.zone")
    (folder / "named.conf").write_text(config)
    named = own_copy("named", folder)
    command: list[str | Path] = [named, "-f", "-n", "1", "-c", folder / "named.conf"]
    return _started(Recursor(command, folder, queries, guard, port))


def start_unbound(folder: Path, guard: Guard, upstream: int) -> Recursor:
    """unbound, with the zones of the server at the port `upstream`, also over TLS."""
    port, tls_port = free_port(HOST), free_port(HOST)
    make_certificate(folder)
    queries = folder / "queries.log"
    config = UNBOUND_CONFIG.format(
        folder=folder,
        host=HOST,
        port=port,
        tls_port=tls_port,
        queries=queries,
        upstream=upstream,
    )
    (folder / "unbound.conf").write_text(config)
    unbound = own_copy("unbound", folder)
    command: list[str | Path] = [unbound, "-d", "-c", folder / "unbound.conf"]
    recursor = Recursor(command, folder, queries, guard, port)
    recursor.tls_port = tls_port
    return _started(recursor)


def _started(recursor: Recursor) -> Recursor:
    try:
        recursor.start()
    except BaseException:
        recursor.kill()
        raise
    return recursor


def tool(name: str) -> Path:
    """The executable; servers live where an ordinary user's PATH does not look."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    assert found, f"{name} is not installed: scripts/install-test-tools installs it"
    return Path(found)


def own_copy(name: str, folder: Path) -> Path:
    """A copy of the server: AppArmor keeps the installed one out of folders like ours."""
    return Path(shutil.copy(tool(name), folder / name))


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for TLS_NAME: cert.pem and key.pem."""
    subprocess.run(
        [
            *(tool("openssl"), "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", f"/CN={TLS_NAME}", "-addext", f"subjectAltName=DNS:{TLS_NAME}"),
            *("-out", folder / "cert.pem", "-keyout", folder / "key.pem"),
        ],
        check=True,
        capture_output=True,
    )
