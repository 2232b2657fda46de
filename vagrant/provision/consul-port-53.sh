#!/usr/bin/env bash
# Port 53 of an address of its own for Consul's agent: for clients that know no ports. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: consul-port-53.sh ADDRESS [--undo]

Adds ADDRESS (a free one of the site's network) to this host, and has queries to its port 53, UDP and
TCP, go to port 8600 of Consul's agent here: so /etc/resolv.conf of another host can name one agent.
It lasts until the next start, or --undo.
TEXT
given=${1:-}
if [[ ! $given =~ ^[0-9]+(\.[0-9]+){3}$ ]] || [ $# -gt 2 ] || [ "${2:---undo}" != --undo ]; then
    misused
fi
as_root
role "$GALERA $ICINGA $WEB"
to=$(address "$HOST")
[ "$given" != "$to" ] || fail "$given is the address of this host itself, and BIND has its port 53"
interface=$(ip -o -4 address show to "$to" | awk '{ print $2 }')
[ -n "$interface" ] || fail "no interface of this host has its address $to"
packages nftables

table=consul_port_53
if [ $# -eq 2 ]; then
    nft delete table ip "$table" 2>/dev/null || true
    ip address del "$given/24" dev "$interface" 2>/dev/null || true
    exit
fi
ip address replace "$given/24" dev "$interface"
# Emptied and filled in one step; the first line is for when it is not there yet.
nft -f - <<TEXT
add table ip $table
delete table ip $table
table ip $table {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr $given meta l4proto { tcp, udp } th dport 53 dnat to $to:8600
    }
    chain output {
        type nat hook output priority -100;
        ip daddr $given meta l4proto { tcp, udp } th dport 53 dnat to $to:8600
    }
}
TEXT
