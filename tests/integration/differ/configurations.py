"""How each server is configured: what an operator would write for the same duty.

`consul.` and the reverse zone go to one agent, a zone to a server of its own, the rest to one
recursor. Who can validate does, with the root of the test zones as the trust anchor.
"""

from __future__ import annotations

ZONES_CONF = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    recursion no;
    dnssec-validation no;
    minimal-responses no;
    max-udp-size 4096;
    notify no;
    empty-zones-enable no;
    check-names primary ignore;
    max-records-per-type 0;
    rate-limit {{ responses-per-second 0; }};
}};
controls {{ }};
"""
UNBOUND = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: {host}@{port}
    num-threads: 1
    do-not-query-localhost: no
    do-ip6: no
    local-zone: "test." nodefault
    local-zone: "10.in-addr.arpa." nodefault
    local-zone: "2.0.192.in-addr.arpa." nodefault
    trust-anchor: ". DS {anchor}"
    trust-anchor-signaling: no
    num-queries-per-thread: 4096
    outgoing-range: 8192
    {more}
remote-control:
    control-enable: no
"""
BIND = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    session-keyfile none;
    recursion yes;
    allow-recursion {{ 127.0.0.0/8; }};
    clients-per-query 0;
    max-clients-per-query 0;
    dnssec-validation yes;
    validate-except {{ "consul"; "10.in-addr.arpa"; "{odd}"; }};
    empty-zones-enable no;
    forward only;
    forwarders {{ {recursor}; }};
}};
trust-anchors {{ . static-ds {tag} {digest}; }};
controls {{ }};
"""
BIND_FORWARD = 'zone "{name}" {{ type forward; forward only; forwarders {{ {to}; }}; }};\n'
DNSDIST = """\
setLocal("{host}:{port}")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
newServer{{address="{recursor}", checkName="www.example.test."}}
newServer{{address="{agent}", checkName="consul.", checkType="SOA", pool="consul"}}
newServer{{address="{odd}", checkName="ttlmax.odd.test.", pool="odd"}}
addAction(makeRule({{"consul.", "10.in-addr.arpa."}}), PoolAction("consul"))
addAction(makeRule({{"odd.test."}}), PoolAction("odd"))
getPool(""):setCache(newPacketCache(10000))
getPool("consul"):setCache(newPacketCache(10000))
getPool("odd"):setCache(newPacketCache(10000))
"""
