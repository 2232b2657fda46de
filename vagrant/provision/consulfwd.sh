#!/usr/bin/env bash
# consulfwd: the program and the host's settings, and as its resolver with --stub. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: consulfwd.sh [--stub]

Installs consulfwd into /opt/consulfwd and writes /etc/consulfwd/consulfwd.yml: on the hosts of GALERA
with the agents BIND is to ask, for consulfwd generate; on the others with the agents and the BINDs of
all hosts of GALERA.

  --stub  run it on 127.0.0.1:53 as consulfwd.service, and have /etc/resolv.conf name it

To undo the latter: packaging/host-dns resolv.conf --undo; systemctl disable --now consulfwd
TEXT
case ${1:-} in
    '') stub= ;;
    --stub) stub=yes ;;
    *) misused ;;
esac
[ $# -le 1 ] || misused
as_root
role "$GALERA $ICINGA $WEB"
packages python3-venv
begin consulfwd
restart=$CHANGED

# What the installed program was made of: another source is installed anew.
if [ -n "$WHEELS" ]; then
    [ -d "$WHEELS" ] || fail "WHEELS: $WHEELS is no folder"
    made_of=$(cd "$WHEELS" && sha256sum -- *.whl)
else
    made_of=$(cd "$SOURCE" && find setup.py setup.cfg pyproject.toml consulfwd/ bind-templates \
        examples -type f ! -path '*/__pycache__/*' ! -name '*.so' -print0 | sort -z | xargs -0 sha256sum)
fi
if [ "$made_of" != "$(cat /opt/consulfwd/made-of 2>/dev/null)" ]; then
    changed
    restart=yes
    # Killed half-way, it is neither the one nor the other.
    rm -f /opt/consulfwd/made-of
    # Without a pip of its own, which would be twice as much as all the rest.
    [ -x /opt/consulfwd/bin/python ] || /usr/bin/python3 -m venv --without-pip /opt/consulfwd
    pip=(/usr/bin/python3 "$(printf '%s\n' /usr/share/python-wheels/pip-*.whl | tail -n 1)/pip"
        --python /opt/consulfwd/bin/python install --quiet --disable-pip-version-check
        --root-user-action=ignore --force-reinstall)
    if [ -n "$WHEELS" ]; then
        "${pip[@]}" --no-index --find-links "$WHEELS" consulfwd
    else
        # For the compiled fast lane, which is left out where these are not.
        packages gcc libc6-dev python3-dev
        # A copy: setuptools writes beside the source, and several hosts share that.
        copy=$(mktemp -d)
        trap 'rm -rf "$copy"' EXIT
        (cd "$SOURCE" && cp -r setup.py setup.cfg pyproject.toml README.md LICENSE consulfwd \
            bind-templates examples "$copy")
        "${pip[@]}" "$copy"
    fi
    printf '%s\n' "$made_of" >/opt/consulfwd/made-of
    say "installed $(/opt/consulfwd/bin/consulfwd --version)"
fi

CHANGED=
if is_one_of "$HOST" "$GALERA"; then
    listen=127.0.0.1:5300
    agents=(127.0.0.1)
    [ "$CONSUL_FORWARDERS" = all ] || [ "$CONSUL_FORWARDERS" = local ] \
        || fail "CONSUL_FORWARDERS is all or local, not $CONSUL_FORWARDERS"
    for name in $GALERA; do
        [ "$name" = "$HOST" ] || [ "$CONSUL_FORWARDERS" = local ] || agents+=("$(address "$name")")
    done
    mapfile -t recursors < <(forwarders)
else
    listen=127.0.0.1:53
    mapfile -t agents < <(addresses_of "$GALERA")
    recursors=("${agents[@]}")
fi
others=
[ ${#recursors[@]} -eq 0 ] || others="recursors: $(json_list "${recursors[@]}")"
put /etc/consulfwd/consulfwd.yml 644 root:root <<TEXT
listen: ["$listen"]
consul:
  datacenter: $DATACENTER
  agents: $(json_list "${agents[@]}")
$others
TEXT
/opt/consulfwd/bin/consulfwd config check
if [ -z "$stub" ]; then
    applied
    exit
fi

reload=$CHANGED
CHANGED=
put /etc/systemd/system/consulfwd.service 644 root:root <"$SOURCE/packaging/consulfwd.service"
if [ -n "$CHANGED$restart" ]; then
    systemctl daemon-reload
    restart=yes
fi
systemctl --quiet enable consulfwd
if [ -n "$restart" ]; then
    systemctl restart consulfwd
elif [ -n "$reload" ]; then
    systemctl reload-or-restart consulfwd
else
    systemctl start consulfwd
fi
applied
"$SOURCE/packaging/host-dns" resolv.conf
