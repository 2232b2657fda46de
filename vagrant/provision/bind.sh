#!/usr/bin/env bash
# BIND on a Galera host: Consul's names from Consul's agents, all others from outside. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: bind.sh

Installs BIND for this host and the site's network. It asks the agents of CONSUL_FORWARDERS about
Consul's names, by /etc/named/consul.conf, which `consulfwd generate` writes (run consulfwd.sh before),
and FORWARDERS about all others.
TEXT
[ $# -eq 0 ] || misused
as_root
role "$GALERA"
[ -x /opt/consulfwd/bin/consulfwd ] || fail "no consulfwd here: run consulfwd.sh first"
packages bind9 bind9-utils
address=$(address "$HOST")
begin named

outside=
for one in $(forwarders); do
    outside+=" $one;"
done
[ -z "$outside" ] || outside="
    // These alone are asked for names outside Consul.
    forward only;
    forwarders {$outside };
"
put /etc/bind/named.conf.options 644 root:bind <<TEXT
options {
    directory "/var/cache/bind";

    // By address, not all: further addresses of this host may be for others.
    listen-on { 127.0.0.1; $address; };
    listen-on-v6 { none; };

    recursion yes;
    allow-query { 127.0.0.0/8; $NETWORK.0/24; };
    allow-recursion { 127.0.0.0/8; $NETWORK.0/24; };
    allow-transfer { none; };
$outside
    dnssec-validation $DNSSEC;
    // No DNSSEC chain leads to Consul: its answers would be taken for forged.
    validate-except { "consul"; };

    // Consul's answers have TTL 0 and are asked for again and again. With the default, BIND refuses
    // clients beyond the hundredth that waits for one name.
    clients-per-query 0;
};
TEXT
install -d -m 755 /etc/named
generate=(/opt/consulfwd/bin/consulfwd generate bind --dest /etc/named/consul.conf)
"${generate[@]}" --check >/dev/null 2>&1 || changed
"${generate[@]}" --write --no-reload --verify none
include='include "/etc/named/consul.conf";'
if ! grep -qxF "$include" /etc/bind/named.conf.local; then
    changed
    printf '%s\n' "$include" >>/etc/bind/named.conf.local
fi
# Debian confines BIND to its usual folders.
if [ -e /etc/apparmor.d/usr.sbin.named ]; then
    rule='/etc/named/** r,'
    allowed=/etc/apparmor.d/local/usr.sbin.named
    if ! grep -qxF "$rule" "$allowed" 2>/dev/null; then
        changed
        printf '%s\n' "$rule" >>"$allowed"
    fi
    if [ -n "$CHANGED" ] && aa-enabled --quiet 2>/dev/null; then
        apparmor_parser --replace /etc/apparmor.d/usr.sbin.named
    fi
fi
named-checkconf /etc/bind/named.conf

systemctl --quiet enable named
if ! systemctl --quiet is-active named; then
    systemctl start named
elif [ -n "$CHANGED" ]; then
    systemctl reload named
fi
applied
wait_for 30 "BIND does not answer: journalctl -u named" rndc status
