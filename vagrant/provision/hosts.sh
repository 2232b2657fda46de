#!/usr/bin/env bash
# The names of all hosts of the site. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: hosts.sh

Writes the names and addresses of the site's hosts into /etc/hosts, in a part of its own, and keeps
the name servers /etc/resolv.conf has now for the scripts that need them later.
TEXT
[ $# -eq 0 ] || misused
as_root
role "$GALERA $ICINGA $WEB"
[ -n "$(ip -o -4 address show to "$(address "$HOST")")" ] \
    || fail "no interface of this host has its address $(address "$HOST")"

keep_resolv_conf
# Boxes give a host's own name an address on loopback: others are told that one then.
new=$(awk -v host="$HOST" '
    /^# site: begin/ { skip = 1 }
    !skip && $1 ~ /^127\.0\.[12]\.1$/ { for (i = 2; i <= NF; i++) if ($i == host) next }
    !skip { print }
    /^# site: end/ { skip = 0 }' /etc/hosts || exit
    echo '# site: begin'
    for name in $(hosts); do
        printf '%s %s\n' "$(address "$name")" "$name"
    done
    echo '# site: end')
if [ "$new" != "$(cat /etc/hosts)" ]; then
    printf '%s\n' "$new" >/etc/hosts.new
    chmod 644 /etc/hosts.new
    # Whole at any time; but in a container it may be a mount, over which nothing can be renamed.
    if ! mv -fT /etc/hosts.new /etc/hosts 2>/dev/null; then
        cat /etc/hosts.new >/etc/hosts
        rm /etc/hosts.new
    fi
    say "wrote /etc/hosts"
fi
