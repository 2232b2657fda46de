"""What `lint` says of a configuration is what the real server does with it.

Each claim is a fault and its mend: lint tells of the one and not of the other, and the server gives
an answer with the other only.
"""

from __future__ import annotations

import getpass
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.lint import Wanted, check, installed_version
from tests.integration.recursors import HOST, own_copy, tool
from tests.loopback import free_port

NAME = "web.service.consul"
POINTER = "1.0.0.10.in-addr.arpa"
ADDRESS = "10.0.0.9"


class Claim(NamedTuple):
    """A fault with its code, the mend, and a question whose answer shows the difference.

    In both, {agent} is an agent's port and {dead} one where nobody listens.
    """

    server: str
    code: str
    fault: str
    mend: str
    question: tuple[str, str] = (NAME, "A")


def forward(zone: str) -> str:
    """A zone of named.conf that is sent to the agent."""
    servers = "forwarders { 127.0.0.1 port {agent}; };"
    return f'zone "{zone}" {{ type forward; forward only; {servers} }};'


UNBOUND_ZONE = "forward-zone:\n name: consul\n forward-addr: 127.0.0.1@{agent}\n"
DNSMASQ_SERVER = "server=/consul/127.0.0.1#{agent}"
KRESD_STUB = (
    "policy.add(policy.suffix(policy.STUB('127.0.0.1@{agent}'), policy.todnames({'consul.'})))\n"
)
KRESD_ALL = "policy.add(policy.all(policy.STUB('127.0.0.1@{dead}')))\n"
POOL = 'newServer({address="127.0.0.1:{agent}", pool="consul"})\n'
CLAIMS = [
    Claim(
        "bind", "bind-zone-below", forward("service.consul"), forward("consul"), (NAME, "AAAA")
    ),
    Claim(
        "bind",
        "bind-view-without-zone",
        f"view some {{ match-clients {{ 192.0.2.1; }}; {forward('consul')} }};\nview others {{ }};",
        f"view others {{ {forward('consul')} }};",
    ),
    Claim(
        "bind",
        "bind-local-zone",
        'zone "in-addr.arpa" { type primary; file "own.zone"; };\n' + forward("10.in-addr.arpa"),
        forward("10.in-addr.arpa"),
        (POINTER, "PTR"),
    ),
    Claim(
        "bind",
        "bind-local-zone",
        'zone "." { type primary; file "own.zone"; };\n' + forward("consul"),
        forward("consul"),
    ),
    Claim(
        "bind",
        "bind-empty-zone",
        forward("in-addr.arpa").replace("forward only", "forward first"),
        forward("in-addr.arpa"),
        (POINTER, "PTR"),
    ),
    Claim(
        "bind",
        "bind-agent-barred",
        "server 127.0.0.0/8 { bogus yes; };\n" + forward("consul"),
        "server 127.0.0.0/8 { bogus yes; };\nserver 127.0.0.1 { bogus no; };\n" + forward("consul"),
    ),
    Claim(
        "unbound",
        "unbound-agent-barred",
        "do-not-query-address: 127.0.0.0/8\n" + UNBOUND_ZONE,
        "do-not-query-address: 10.0.0.0/8\n" + UNBOUND_ZONE,
    ),
    Claim(
        "unbound",
        "unbound-answered-here",
        f'local-data: "{NAME}. A 10.0.0.7"\n' + UNBOUND_ZONE,
        'local-data: "other.example. A 10.0.0.7"\n' + UNBOUND_ZONE,
    ),
    Claim(
        "unbound",
        "unbound-answered-here",
        'local-zone: "consul." static\n' + UNBOUND_ZONE,
        'local-zone: "consul." transparent\n' + UNBOUND_ZONE,
    ),
    Claim(
        "unbound",
        "unbound-answered-here",
        'auth-zone:\n name: "."\n zonefile: "own.zone"\n' + UNBOUND_ZONE,
        'auth-zone:\n name: "."\n zonefile: "own.zone"\n for-downstream: no\n' + UNBOUND_ZONE,
    ),
    Claim(
        "unbound",
        "unbound-zone-twice",
        UNBOUND_ZONE + UNBOUND_ZONE.replace("{agent}", "{dead}"),
        UNBOUND_ZONE.replace("{agent}", "{dead}") + " forward-addr: 127.0.0.1@{agent}",
    ),
    Claim(
        "unbound",
        "unbound-local-zone",
        UNBOUND_ZONE.replace("consul", "in-addr.arpa"),
        "unblock-lan-zones: yes\n" + UNBOUND_ZONE.replace("consul", "in-addr.arpa"),
        (POINTER, "PTR"),
    ),
    Claim(
        "dnsmasq",
        "part-sent",
        "server=/query.consul/127.0.0.1#{agent}",
        "server=/consul/127.0.0.1#{agent}",
    ),
    Claim(
        "dnsmasq",
        "no-agents",
        "server=/consul/127.0.0.1#{agent}\nlocal=/service.consul/",
        "server=/consul/127.0.0.1#{agent}",
    ),
    Claim(
        "dnsmasq",
        "dnsmasq-own-name",
        f"host-record={NAME},10.0.0.7\n{DNSMASQ_SERVER}",
        f"host-record=other.example,10.0.0.7\n{DNSMASQ_SERVER}",
    ),
    Claim(
        "dnsmasq",
        "dnsmasq-alias",
        f"cname=www.example,{NAME}\n{DNSMASQ_SERVER}",
        f"cname=www.example,{NAME}\nhost-record={NAME},10.0.0.9\n{DNSMASQ_SERVER}",
        ("www.example", "A"),
    ),
    Claim(
        "dnsmasq",
        "dnsmasq-refused-answers",
        f"bogus-nxdomain=10.0.0.0/8\n{DNSMASQ_SERVER}",
        f"bogus-nxdomain=192.0.2.7\n{DNSMASQ_SERVER}",
    ),
    Claim(
        "dnsmasq",
        "dnsmasq-filterwin2k",
        f"filter-A\n{DNSMASQ_SERVER}",
        f"filter-rr=ANY\n{DNSMASQ_SERVER}",
    ),
    Claim(
        "pdns-recursor",
        "pdns-zone-twice",
        "forward-zones=consul=127.0.0.1:{agent},consul=127.0.0.1:{dead}",
        "forward-zones=consul=127.0.0.1:{dead};127.0.0.1:{agent}",
    ),
    Claim(
        "pdns-recursor",
        "pdns-local-zone",
        "forward-zones=in-addr.arpa=127.0.0.1:{agent}",
        "forward-zones=in-addr.arpa=127.0.0.1:{agent}\nserve-rfc1918=no",
        (POINTER, "PTR"),
    ),
    Claim("kresd", "kresd-validation", KRESD_STUB.replace("STUB", "FORWARD"), KRESD_STUB),
    Claim(
        "kresd",
        "kresd-rebinding",
        f"modules.load('rebinding < iterate')\n{KRESD_STUB}",
        "modules.load('rebinding < iterate')\n"
        "policy.add(policy.suffix(policy.FLAGS({'ALLOW_LOCAL'}), policy.todnames({'consul.'})))\n"
        f"{KRESD_STUB}",
    ),
    Claim("kresd", "kresd-shadowed", KRESD_ALL + KRESD_STUB, KRESD_STUB + KRESD_ALL),
    Claim(
        "dnsdist",
        "dnsdist-shadowed",
        POOL + 'addAction(AllRule(), PoolAction("x"))\naddAction("consul.", PoolAction("consul"))',
        POOL + 'addAction("consul.", PoolAction("consul"))\naddAction(AllRule(), PoolAction("x"))',
    ),
    Claim(
        "dnsdist",
        "dnsdist-exact-name",
        POOL + 'addAction(QNameRule("consul."), PoolAction("consul"))',
        POOL + 'addAction({"consul."}, PoolAction("consul"))',
    ),
]


def own_zone(folder: Path) -> None:
    """A zone of the server's own."""
    records = "$TTL 60\n@ SOA a. b. 1 60 60 60 60\n@ NS a.\na. A 127.0.0.1\n"
    (folder / "own.zone").write_text(records)


def bind(folder: Path, port: int, text: str, options: str = "dnssec-validation no;") -> list[str]:
    own_zone(folder)
    (folder / "main.conf").write_text(
        f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }};\n'
        "listen-on-v6 { none; }; pid-file none; session-keyfile none; clients-per-query 0;\n"
        f"{options} }};\ncontrols {{ }};\n{text}\n"
    )
    return [str(own_copy("named", folder)), "-g", "-n", "1", "-c", f"{folder}/main.conf"]


def unbound(folder: Path, port: int, text: str) -> list[str]:
    own_zone(folder)
    (folder / "main.conf").write_text(
        f'server:\ndirectory: "{folder}"\nchroot: ""\nusername: ""\npidfile: ""\nuse-syslog: no\n'
        f"interface: 127.0.0.1@{port}\nnum-threads: 1\ndo-not-query-localhost: no\n{text}\n"
        "remote-control:\ncontrol-enable: no\n"
    )
    return [str(own_copy("unbound", folder)), "-d", "-c", f"{folder}/main.conf"]


def dnsmasq(folder: Path, port: int, text: str) -> list[str]:
    main = folder / "main.conf"
    main.write_text(
        f"port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
        f"user={getpass.getuser()}\ngroup=\npid-file=\n{text}\n"
    )
    return [str(tool("dnsmasq")), "--keep-in-foreground", f"--conf-file={main}"]


def pdns_recursor(folder: Path, port: int, text: str) -> list[str]:
    (folder / "recursor.conf").write_text(
        f"local-address=127.0.0.1\nlocal-port={port}\nsocket-dir={folder}\nthreads=1\ndaemon=no\n"
        f"security-poll-suffix=\nwrite-pid=no\ndnssec=off\nhint-file=\n{text}\n"
    )
    return [str(tool("pdns_recursor")), f"--config-dir={folder}"]


def kresd(folder: Path, port: int, text: str) -> list[str]:
    main = folder / "main.conf"
    main.write_text(
        f"net.ipv6 = false\nnet.listen('127.0.0.1', {port}, {{ kind = 'dns' }})\n"
        f"modules.unload('ta_update')\nmodules.unload('priming')\ncache.size = 10 * MB\n{text}\n"
    )
    return [str(tool("kresd")), "-n", "-c", str(main), str(folder)]


def dnsdist(folder: Path, port: int, text: str) -> list[str]:
    main = folder / "main.conf"
    main.write_text(f'setLocal("127.0.0.1:{port}")\nsetSecurityPollSuffix("")\n{text}\n')
    return [str(tool("dnsdist")), "--supervised", "--disable-syslog", f"--config={main}"]


STARTS: dict[str, Callable[[Path, int, str], list[str]]] = {
    "bind": bind,
    "unbound": unbound,
    "dnsmasq": dnsmasq,
    "pdns-recursor": pdns_recursor,
    "kresd": kresd,
    "dnsdist": dnsdist,
}


@pytest.fixture(scope="module")
def agent() -> Iterator[int]:
    """The port of one that answers as Consul does: its SOA is the domain's, whatever is asked."""
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((HOST, 0))
        listening.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                try:
                    wire, client = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                listening.sendto(reply_to(dns.message.from_wire(wire)).to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            thread.join()


def reply_to(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= dns.flags.AA
    asked = query.question[0]
    answers = {dns.rdatatype.A: ADDRESS, dns.rdatatype.PTR: "host1.node.consul."}
    if asked.rdtype in answers:
        kind = dns.rdatatype.to_text(asked.rdtype)
        reply.answer.append(dns.rrset.from_text(asked.name, 0, "IN", kind, answers[asked.rdtype]))
    else:
        soa = "ns.consul. hostmaster.consul. 1 3600 600 86400 0"
        reply.authority.append(dns.rrset.from_text("consul.", 0, "IN", "SOA", soa))
    return reply


def rcode(port: int, name: str, rtype: str) -> str:
    """What is answered; "nothing" where nothing is."""
    try:
        reply = dns.query.udp(dns.message.make_query(name, rtype), HOST, 2.0, port)
    except (OSError, dns.exception.DNSException):
        return "nothing"
    said = dns.rcode.to_text(reply.rcode())
    addresses = {str(one) for rrset in reply.answer for one in rrset if rtype == "A"}
    if said == "NOERROR" and rtype == "A" and ADDRESS not in addresses:
        return "another answer"
    return said


def bound(port: int) -> bool:
    """Does somebody listen there?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def codes(server: str, main: Path) -> set[str]:
    report = check(main, Wanted(server=server), lambda _: {}, installed_version)
    return {one.code for one in report.findings}


@contextmanager
def started(command: list[str], port: int, folder: Path, guard: Guard) -> Iterator[Child]:
    child = Child("server", list(command), folder / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: bound(port), "listening")
        yield child
    finally:
        child.kill()


def written(folder: Path) -> Path:
    return next(one for one in (folder / "main.conf", folder / "recursor.conf") if one.exists())


def placed(text: str, agent: int) -> str:
    return text.replace("{agent}", str(agent)).replace("{dead}", str(free_port(HOST)))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.server}-{claim.code}")
def test_a_fault_bites_and_its_mend_does_not(
    claim: Claim, agent: int, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The path of a socket may have 107 octets.
    short = tmp_path_factory.mktemp("c")
    for kind, text in (("mend", claim.mend), ("fault", claim.fault)):
        folder = short / kind
        folder.mkdir()
        port = free_port(HOST)
        command = STARTS[claim.server](folder, port, placed(text, agent))
        found = codes(claim.server, written(folder))
        assert (claim.code in found) == (kind == "fault"), found
        with started(command, port, folder, guard) as child:
            if kind == "mend":
                asked = partial(rcode, port, *claim.question)
                child.wait_until(lambda: asked() == "NOERROR", "answering")  # noqa: B023
            else:
                assert "NOERROR" not in {rcode(port, *claim.question) for _ in range(2)}


def test_bind_validates_nothing_without_an_anchor(
    agent: int, guard: Guard, tmp_path: Path
) -> None:
    port = free_port(HOST)
    text = placed(forward("consul"), agent)
    command = bind(tmp_path, port, text, "dnssec-validation yes;")
    assert "bind-validation" not in codes("bind", tmp_path / "main.conf")
    with started(command, port, tmp_path, guard) as child:
        for rtype in ("A", "AAAA"):
            asked = partial(rcode, port, NAME, rtype)
            child.wait_until(lambda: asked() == "NOERROR", "answering")  # noqa: B023


@pytest.mark.parametrize(
    ("anchor", "more", "answered"),
    [
        (".", "", False),
        (".", "val-permissive-mode: yes", True),
        ("consul", "", False),
        ("example.com", "", True),
    ],
)
def test_what_unbound_validates(
    anchor: str, more: str, answered: bool, agent: int, guard: Guard, tmp_path: Path
) -> None:
    port = free_port(HOST)
    everything = UNBOUND_ZONE.replace("consul", '"."')
    trust = f'trust-anchor: "{anchor} DS 20326 8 2 {"0123456789ABCDEF" * 4}"'
    text = placed(f"{trust}\n{more}\n{UNBOUND_ZONE}{everything}", agent)
    command = unbound(tmp_path, port, text)
    assert ("unbound-validation" in codes("unbound", tmp_path / "main.conf")) != answered
    with started(command, port, tmp_path, guard) as child:
        expected = "NOERROR" if answered else "SERVFAIL"
        child.wait_until(lambda: rcode(port, NAME, "A") == expected, expected)
