#!/usr/bin/env bash
# A Consul agent: a server on the Galera hosts, a client elsewhere. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: consul.sh

Installs Consul, its settings in /etc/consul.d and the unit consul.service, and starts it: as one of
the servers on the hosts of GALERA, as a client on the others. DNS (8600) and HTTP (8500) are there on
loopback and on the host's address.
TEXT
[ $# -eq 0 ] || misused
as_root
role "$GALERA $ICINGA $WEB"
address=$(address "$HOST")

find_consul() {
    local cached
    if [ -n "$CONSUL_BINARY" ]; then
        printf '%s\n' "$CONSUL_BINARY"
        return
    fi
    if command -v consul; then
        return
    fi
    cached=$(printf '%s\n' "$HOME"/.cache/consulfwd/consul/*/consul | sort -V | tail -n 1)
    for cached in "$SOURCE/vagrant/.consul/consul" "$cached"; do
        if [ -x "$cached" ]; then
            printf '%s\n' "$cached"
            return
        fi
    done
    "$SOURCE/scripts/install-consul" debian | cut -d ' ' -f 2
}

packages curl
begin consul
id consul >/dev/null 2>&1 \
    || useradd --system --home-dir /var/lib/consul --shell /usr/sbin/nologin consul
install -d -o consul -g consul -m 750 /var/lib/consul
install -d -o root -g consul -m 750 /etc/consul.d
binary=$(find_consul) || fail "no Consul: run scripts/install-consul, or name it in CONSUL_BINARY"
[ -x "$binary" ] || fail "CONSUL_BINARY: $binary is no program"
if ! cmp -s "$binary" /usr/local/bin/consul; then
    # Beside it and renamed: a running program cannot be written to.
    install -m 755 "$binary" /usr/local/bin/consul.new
    changed
    mv -T /usr/local/bin/consul.new /usr/local/bin/consul
    say "installed $(/usr/local/bin/consul version | head -n 1)"
fi

servers=()
others=()
for name in $GALERA; do
    servers+=("$(address "$name")")
    # Without itself: who joins only itself believes it has joined, and tries no more.
    [ "$name" = "$HOST" ] || others+=("$(address "$name")")
done
mapfile -t recursors < <(forwarders)
if is_one_of "$HOST" "$GALERA"; then
    # A server that is restarted, or was cut off, stays one of the three that vote: taken for dead and
    # thrown out, it would have no vote for a while after its return, when another may fail.
    part="\"server\": true,
  \"bootstrap_expect\": ${#servers[@]},
  \"leave_on_terminate\": false,
  \"autopilot\": { \"cleanup_dead_servers\": false },
  \"retry_join\": $(json_list "${others[@]}"),"
else
    part="\"server\": false,
  \"retry_join\": $(json_list "${servers[@]}"),"
fi
put /etc/consul.d/consul.json 640 root:consul <<TEXT
{
  $part
  "datacenter": "$DATACENTER",
  "node_name": "$HOST",
  "data_dir": "/var/lib/consul",
  "bind_addr": "$address",
  "client_addr": "127.0.0.1 $address",
  "retry_interval": "2s",
  "recursors": $(json_list "${recursors[@]}"),
  "disable_update_check": true
}
TEXT
put /etc/systemd/system/consul.service 644 root:root <<'TEXT'
[Unit]
Description=Consul agent
After=network-online.target
Wants=network-online.target

[Service]
# Ready once another agent was reached: who starts first waits, however long.
Type=notify
TimeoutStartSec=infinity
User=consul
Group=consul
ExecStart=/usr/local/bin/consul agent -config-dir=/etc/consul.d
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1
LimitNOFILE=16384

[Install]
WantedBy=multi-user.target
TEXT

if [ -n "$CHANGED" ]; then
    systemctl daemon-reload
    systemctl --quiet enable consul
    systemctl --no-block restart consul
    applied
else
    systemctl --quiet enable consul
    systemctl --no-block start consul
fi
wait_for 60 "Consul does not answer: journalctl -u consul" \
    curl --silent --fail --max-time 1 http://127.0.0.1:8500/v1/agent/self
