#!/usr/bin/env bash
# Icinga 2 with its database behind a name of Consul's: two masters in one zone. The first of $ICINGA
# has the CA and the configuration of all checks; what is checked stands in icinga/zone.
. "$(dirname "$0")/lib.sh"

usage "$@" <<'END'
usage: icinga.sh
Makes this host one of the Icinga 2 masters ($ICINGA in site.env). The first one makes the CA and the
tables of the database, the other one gets its certificate from it. Needs the database under its
name, and passwords in $SECRETS. Can be run again; restarts Icinga only when something changed.
END
(($# == 0)) || misused
as_root
role "$ICINGA"

DATABASE_HOST=galeradb.service.consul
DATABASE=icinga
DATABASE_USER=icinga
SCHEMA=/usr/share/icinga2-ido-mysql/schema/mysql.sql
ETC=/etc/icinga2
CA=/var/lib/icinga2/ca
CERTS=/var/lib/icinga2/certs
PID_FILE=/run/icinga2/icinga2.pid
PORT=5665
WAIT=120

first=${ICINGA%% *}

# Keeps the package from looking for a database on this host.
if command -v debconf-set-selections >/dev/null; then
    debconf-set-selections <<'END'
icinga2-ido-mysql icinga2-ido-mysql/dbconfig-install boolean false
icinga2-ido-mysql icinga2-ido-mysql/enable boolean false
END
fi
packages icinga2 icinga2-ido-mysql mariadb-client monitoring-plugins-basic iputils-ping procps python3

db_password=$(secret DB_ICINGA_PASSWORD)
api_password=$(secret ICINGA_API_PASSWORD)
salt=$(secret ICINGA_TICKET_SALT)

# dictionary NAMES: one of their addresses in Icinga's language.
dictionary() {
    local name
    printf '{\n'
    for name; do
        printf '  "%s" = "%s"\n' "$name" "$(address "$name")"
    done
    printf '}\n'
}

zones() {
    local name
    for name in $ICINGA; do
        printf 'object Endpoint "%s" {\n' "$name"
        # A host must not look for itself.
        [ "$name" = "$HOST" ] || printf '  host = "%s"\n' "$(address "$name")"
        printf '}\n'
    done
    printf 'object Zone ZoneName {\n  endpoints = %s\n}\n' "$(json_list $ICINGA)"
}

certificates() {
    [ ! -e "$CERTS/ca.crt" ] || return 0
    install -d -m 700 -o nagios -g nagios "$CERTS"
    local key=$CERTS/$HOST.key cert=$CERTS/$HOST.crt
    if [ "$HOST" = "$first" ]; then
        # Each key takes seconds: both at once.
        local made=
        if [ ! -e "$CA/ca.crt" ]; then
            icinga2 pki new-ca >/dev/null &
            made=$!
        fi
        icinga2 pki new-cert --cn "$HOST" --key "$key" --csr "$CERTS/$HOST.csr" >/dev/null
        [ -z "$made" ] || wait "$made"
        icinga2 pki sign-csr --csr "$CERTS/$HOST.csr" --cert "$cert" >/dev/null
        rm "$CERTS/$HOST.csr"
        # By renaming: where it is, all the rest is.
        install -m 644 -o nagios -g nagios "$CA/ca.crt" "$CERTS/ca.crt.new"
        mv -T "$CERTS/ca.crt.new" "$CERTS/ca.crt"
    else
        icinga2 pki new-cert --cn "$HOST" --key "$key" --cert "$cert" >/dev/null
        say "waiting for the CA on $first"
        wait_for "$WAIT" "no Icinga on $first ($(address "$first") port $PORT) within $WAIT s:
    run icinga.sh there, it has the CA" answers "$(address "$first")" "$PORT"
        "$PROVISION/icinga/request-certificate" --host "$(address "$first")" --port "$PORT" \
            --name "$HOST" --key "$key" --cert "$cert" --ca "$CERTS/ca.crt" <<<"$salt" \
            || fail "$first signed no certificate (see above, and its /var/log/icinga2/icinga2.log)"
    fi
    say "has its certificate"
}

settings() {
    local name
    put "$ETC/icinga2.conf" 640 root:nagios <"$PROVISION/icinga/icinga2.conf"
    put "$ETC/constants.conf" 640 root:nagios <<END
const PluginDir = "/usr/lib/nagios/plugins"
const NodeName = "$HOST"
const ZoneName = "masters"
const DatabaseHost = "$DATABASE_HOST"
const OutsideName = "$OUTSIDE_NAME"
const CheckInterval = ${ICINGA_CHECK_INTERVAL}s
$(printf 'const GaleraHosts = '; dictionary $GALERA)
$(printf 'const IcingaHosts = '; dictionary $ICINGA)
END
    put "$ETC/zones.conf" 640 root:nagios < <(zones)
    put "$ETC/conf.d/api-users.conf" 640 root:nagios <<END
object ApiUser "root" {
  password = "$api_password"
  permissions = [ "*" ]
}
END
    put "$ETC/features-available/api.conf" 640 root:nagios <<END
object ApiListener "api" {
  accept_config = true
  accept_commands = true
  ticket_salt = "$salt"
}
END
    # The name stands here as it is: who answers for it is Consul's to say at every connection.
    # 30 s is the least failover timeout Icinga takes; the other master writes every 10 s.
    put "$ETC/features-available/ido-mysql.conf" 640 root:nagios <<END
object IdoMysqlConnection "ido-mysql" {
  host = "$DATABASE_HOST"
  user = "$DATABASE_USER"
  password = "$db_password"
  database = "$DATABASE"
  enable_ha = true
  failover_timeout = 30s
}
END
    put "$ETC/database.cnf" 640 root:nagios <<END
[client]
user = $DATABASE_USER
password = $db_password
END
    for name in api checker ido-mysql mainlog; do
        ln -sfn "../features-available/$name.conf" "$ETC/features-enabled/$name.conf"
    done
    rm -f "$ETC/features-enabled/notification.conf"
    for name in check_resolves check_galera; do
        put "/usr/local/lib/icinga/$name" 755 root:root <"$PROVISION/icinga/$name"
    done
    if [ "$HOST" = "$first" ]; then
        for name in "$PROVISION"/icinga/zone/*.conf "$SOURCE"/packaging/icinga2/consulfwd.conf; do
            put "$ETC/zones.d/masters/$(basename "$name")" 640 root:nagios <"$name"
        done
    fi
    # Debian's unit leaves a killed Icinga dead.
    put /etc/systemd/system/icinga2.service.d/restart.conf 644 root:root <<'END'
[Service]
Restart=on-failure
RestartSec=2
END
}

# Icinga has no timeout for its database. A node that falls silent would hold it up for as long as
# the kernel repeats what it sent: 15 minutes, in which it says that it is connected. So 5 repeats,
# 13 s, for a connection that was there; 2, 7 s, for one that is not answered.
patience() {
    local file=/etc/sysctl.d/60-icinga-database.conf
    put "$file" 644 root:root <<'END'
net.ipv4.tcp_retries2 = 5
net.ipv4.tcp_syn_retries = 2
END
    sysctl --quiet --load "$file" 2>/dev/null \
        || say "the kernel's settings in $file cannot be changed here (a container?): they are not" \
            "in force, and a database host that falls silent holds Icinga up for minutes"
}

# Of consulfwd's plug-ins one asks the resolver, over a socket that is for root and one group: the
# one Icinga runs as.
looks_at_consulfwd() {
    begin icinga-looks
    put /etc/systemd/system/consulfwd.service.d/icinga.conf 644 root:root <<'END'
[Service]
SupplementaryGroups=nagios
Environment=CONSULFWD_ADMIN_GROUP=nagios
END
    if [ -n "$CHANGED" ]; then
        systemctl daemon-reload
        # Its sockets stay open meanwhile.
        systemctl restart consulfwd.service
    fi
    applied
}

started() {
    local said units=/etc/systemd/system/icinga2.service.d
    if systemctl --quiet is-active icinga2.service \
        && [ -z "$(find -L "$ETC" "$CERTS" "$units" -type f -newer "$PID_FILE")" ]; then
        return
    fi
    said=$(icinga2 daemon --validate 2>&1) || fail "Icinga does not take its configuration:
$said"
    systemctl daemon-reload
    systemctl --quiet enable icinga2.service 2>/dev/null
    systemctl restart icinga2.service \
        || fail "Icinga does not start: journalctl -u icinga2, /var/log/icinga2/icinga2.log"
}

database() {
    mariadb --defaults-extra-file="$ETC/database.cnf" --host="$DATABASE_HOST" --connect-timeout=5 \
        --batch --skip-column-names "$DATABASE" "$@"
}
# version: that of the tables, empty when there are none; fails when the database does not say.
version() {
    local found
    found=$(database --execute="SELECT 1 FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name = 'icinga_dbversion'") || return
    [ -z "$found" ] \
        || database --execute="SELECT version FROM icinga_dbversion WHERE name = 'idoutils'"
}

# The last statement of the schema writes the version. Without one, whatever is there is the rest of
# an attempt that was interrupted, and empty.
tables() {
    wait_for "$WAIT" "no database $DATABASE for $DATABASE_USER at $DATABASE_HOST within $WAIT s:
    getent hosts $DATABASE_HOST; mariadb --defaults-extra-file=$ETC/database.cnf --host=$DATABASE_HOST" \
        database --execute="SELECT 1"
    local found rest
    found=$(version) || fail "$DATABASE_HOST stopped answering: run this again"
    [ -z "$found" ] || return 0
    rest=$(database --execute="SELECT CONCAT('DROP TABLE \`', table_name, '\`;')
        FROM information_schema.tables WHERE table_schema = DATABASE()
        AND table_name LIKE 'icinga\\_%'")
    [ -z "$rest" ] || database <<<"$rest"
    database <"$SCHEMA"
    say "made the tables of version $(version)"
}

certificates
settings
patience
looks_at_consulfwd
# First the process: the other master waits for its CA, and it waits for the other for longer than
# the tables take.
started
[ "$HOST" != "$first" ] || tables
