#!/usr/bin/env bash
# A member of the MariaDB Galera cluster, and its service in Consul. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: galera.sh [--bootstrap | --position]

Makes this host a member of the Galera cluster "icinga": waits for a member to join, or, on the first
host of GALERA, begins the cluster when no other host has one. Creates the databases and their users,
and registers the service galeradb, tag icinga-galera, with a TCP check, at Consul's agent here.

After all members were stopped, it starts only the one that stopped last, as the others may lack rows.
If none can tell (all were killed), compare --position on each, and give --bootstrap to the host with
the highest number after the colon; then run it without on the others.

  --position   print where this member's data ends, as CLUSTER:NUMBER (MariaDB must not run)
  --bootstrap  begin the cluster with the data of this host
TEXT
mode=${1:-join}
if [ $# -gt 1 ] || ! is_one_of "$mode" "join --bootstrap --position"; then
    misused
fi
as_root
role "$GALERA"
address=$(address "$HOST")
first=${GALERA%% *}
state=/var/lib/mysql/grastate.dat

others() {
    local name
    for name in $GALERA; do
        [ "$name" = "$HOST" ] || address "$name"
    done
}
a_member_answers() {
    local one
    for one in $(others); do
        answers "$one" 3306 && return
    done
    return 1
}
# Not before the first member has all users: one of them is who copies its data for this host.
lets_in() {
    local one
    for one in $(others); do
        mariadb --defaults-file=<(printf '[client]\nuser=writer\npassword=%s\n' "$writer_password") \
            --host "$one" --connect-timeout 1 --execute 'SELECT 1' && return
    done
    return 1
}
sql() { mariadb --no-defaults --batch --skip-column-names "$@"; }
status() { sql --execute "SHOW STATUS LIKE '$1'" 2>/dev/null | cut -f 2; }
synced() { [ "$(status wsrep_local_state)" = 4 ] && [ "$(status wsrep_ready)" = ON ]; }
in_a_cluster() { a_member_answers || synced; }
running() { systemctl --quiet is-active mariadb; }
was_member() {
    [ -e "$state" ] && ! grep -q '^uuid: *00000000-0000-0000-0000-000000000000' "$state"
}
# Whoever starts it from here on starts it with the new settings.
stop() { systemctl stop mariadb; applied; }
stopped_last() { grep -q '^safe_to_bootstrap: *1' "$state"; }

if [ "$mode" = --position ]; then
    ! running || fail "MariaDB runs here: stop it first, or ask it for wsrep_last_committed"
    # It prints --wsrep_start_position=CLUSTER:NUMBER.
    runuser -u mysql -- galera_recovery 2>/dev/null | sed 's/.*wsrep_start_position=//' \
        || fail "the position cannot be read: runuser -u mysql -- galera_recovery says why"
    exit
fi

packages mariadb-server mariadb-backup galera-4 socat rsync curl
sst_password=$(secret SST_PASSWORD)
icinga_password=$(secret DB_ICINGA_PASSWORD)
writer_password=$(secret DB_WRITER_PASSWORD)
begin mariadb
members=$(addresses_of "$GALERA" | paste -sd ,)
put /etc/mysql/mariadb.conf.d/70-site.cnf 644 root:root <<TEXT
[mariadbd]
# Loopback is for the check of Consul's agent.
bind-address = 127.0.0.1,$address
# Each TCP check is a connection that ends without a login. After max_connect_errors of these the
# server would refuse the host that checks; it keeps no such list if it looks up no names.
skip-name-resolve = ON
max_connect_errors = 4294967295
# Not a line in the log for each check.
log_warnings = 1

default_storage_engine = InnoDB
innodb_autoinc_lock_mode = 2
binlog_format = ROW
# The default, and needed: what was acknowledged is on disk, even if all members are killed at once.
innodb_flush_log_at_trx_commit = 1

[galera]
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_cluster_name = icinga
wsrep_cluster_address = gcomm://$members
wsrep_node_name = $HOST
wsrep_node_address = $address
wsrep_sst_method = mariabackup
# evs.* stay as they are: a member that is silent for 5 s (evs.suspect_timeout) is left behind if the
# others agree, in any case after 15 s (evs.inactive_timeout). Commits wait for that long.
wsrep_provider_options = "gmcast.listen_addr=tcp://$address:4567; gcache.size=$GALERA_GCACHE"
TEXT
put /etc/mysql/mariadb.conf.d/71-sst.cnf 640 root:mysql <<TEXT
[galera]
wsrep_sst_auth = sst:$sst_password
TEXT
put /etc/systemd/system/mariadb.service.d/10-restart.conf 644 root:root <<'TEXT'
[Service]
# Debian restarts it when it was killed. A member that found no cluster to join ends by itself, and
# has to try again, too.
Restart=on-failure
RestartSec=2
TEXT
systemctl daemon-reload
systemctl --quiet enable mariadb

if [ "$mode" = --bootstrap ]; then
    ! running || fail "MariaDB runs here already"
    ! a_member_answers || fail "another host has a running member: this one is to join it"
    # It may be trying to join.
    stop
    rm -f /var/lib/mysql/gvwstate.dat
    [ ! -e "$state" ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$state"
    galera_new_cluster
elif running && [ -z "$CHANGED" ]; then
    :
elif was_member && a_member_answers; then
    stop
    systemctl start mariadb
elif ! was_member && { [ "$HOST" != "$first" ] || a_member_answers; }; then
    wait_for 120 "no member on $(others | paste -sd ' ') lets this one in: galera.sh on $first first" \
        lets_in
    stop
    systemctl start mariadb
elif ! was_member || stopped_last; then
    stop
    galera_new_cluster
else
    # It tries to join meanwhile: after a crash of all, they find together by themselves.
    systemctl --no-block start mariadb
    wait_for 60 "no other member runs, and this host did not stop last: first start the one whose \
$state says safe_to_bootstrap: 1. If none does, see galera.sh --help" in_a_cluster
    if [ -n "$CHANGED" ]; then
        stop
        systemctl start mariadb
    fi
fi
wait_for 120 "MariaDB is not in the cluster: journalctl -u mariadb" synced

# Once for the whole cluster. The passwords come on standard input. What is looked for is what the last
# statement does.
create() {
    local database=$1 user=$2 password=$3
    [ -z "$(sql --execute "SELECT 1 FROM mysql.db WHERE User = '$user' AND Host = '$NETWORK.%'")" ] \
        || return 0
    sql <<TEXT
CREATE DATABASE IF NOT EXISTS \`$database\`;
CREATE USER IF NOT EXISTS '$user'@'localhost' IDENTIFIED BY '$password';
CREATE USER IF NOT EXISTS '$user'@'$NETWORK.%' IDENTIFIED BY '$password';
GRANT ALL ON \`$database\`.* TO '$user'@'localhost';
GRANT ALL ON \`$database\`.* TO '$user'@'$NETWORK.%';
TEXT
    say "created the database $database and its user $user"
}
if [ "$HOST" = "$first" ] || [ "$mode" = --bootstrap ]; then
    if [ -z "$(sql --execute "SHOW GRANTS FOR sst@localhost" 2>/dev/null | grep RELOAD)" ]; then
        sql <<TEXT
CREATE USER IF NOT EXISTS 'sst'@'localhost' IDENTIFIED BY '$sst_password';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO 'sst'@'localhost';
TEXT
    fi
    create icinga icinga "$icinga_password"
    create load writer "$writer_password"
fi

begin galeradb
put /etc/consul.d/galeradb.json 640 root:consul <<'TEXT'
{
  "service": {
    "name": "galeradb",
    "tags": ["icinga-galera"],
    "port": 3306,
    "check": {
      "name": "port 3306 takes connections",
      "tcp": "127.0.0.1:3306",
      "interval": "10s",
      "timeout": "1s"
    }
  }
}
TEXT
# Not by systemctl: a unit that is still starting cannot be reloaded.
[ -z "$CHANGED" ] \
    || curl --silent --fail --max-time 10 --request PUT http://127.0.0.1:8500/v1/agent/reload \
    || fail "Consul's agent did not take the service: journalctl -u consul"
applied
