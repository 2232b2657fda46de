# shellcheck shell=bash
# What the provisioning scripts have in common: the site, files that are written only if they differ,
# packages, waiting. Each of them begins with it:  . "$(dirname "$0")/lib.sh"
# It knows no server: what belongs to one server stands in its script.
set -euo pipefail
# Services with users of their own read what is written here.
umask 022

PROVISION=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE=$(cd "$PROVISION/../.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# usage "$@" <<'END': keeps the text on standard input for --help and for `misused`.
usage() {
    USAGE=$(cat)
    case ${1:-} in
        -h | --help) printf '%s\n' "$USAGE"; exit 0 ;;
    esac
}
misused() { printf '%s\n' "$USAGE" >&2; exit 2; }
as_root() { [ "$(id -u)" -eq 0 ] || fail "it changes the system: run it as root"; }

# Environment first, site.env second.
read_site() {
    local key value
    while IFS='=' read -r key value; do
        [[ $key =~ ^[A-Za-z][A-Za-z0-9_]*$ ]] || continue
        value=${value#\"}
        [ -n "${!key+set}" ] || printf -v "$key" '%s' "${value%\"}"
    done <"$PROVISION/site.env"
}
read_site

HOST=${HOST:-$(hostname -s)}
# address HOST: its address in the site's network.
address() {
    local name=ADDRESS_$1
    [ -n "${!name:-}" ] || fail "no address of $1: set $name in $PROVISION/site.env"
    printf '%s\n' "${!name}"
}
hosts() { printf '%s\n' $GALERA $ICINGA $WEB; }
# is_one_of NAME NAMES: NAMES is one argument, as lists are in site.env.
is_one_of() {
    local name
    for name in $2; do
        [ "$name" != "$1" ] || return 0
    done
    return 1
}
# role NAMES: fails unless this host is among them.
role() {
    is_one_of "$HOST" "$1" || fail "this host is $HOST, this script is for: $1" \
        "(hostnamectl set-hostname NAME, or name it in $PROVISION/site.env)"
}
# addresses_of NAMES: one a line.
addresses_of() {
    local name
    for name in $1; do
        address "$name"
    done
}
# json_list ARGUMENTS, as in a JSON file.
json_list() {
    local one list=
    for one; do
        list+=${list:+, }\"$one\"
    done
    printf '[%s]\n' "$list"
}

# secret KEY: its value in the file of secrets.
secret() {
    local key value
    [ -r "$SECRETS" ] || fail "no passwords in $SECRETS: lines KEY=value, mode 600;" \
        "the Vagrantfile makes it"
    while IFS='=' read -r key value; do
        if [ "$key" = "$1" ]; then
            # It is written into SQL and into settings of several kinds.
            [[ $value =~ ^[A-Za-z0-9._-]+$ ]] \
                || fail "$1 in $SECRETS: letters, digits and . _ - only, at least one"
            printf '%s\n' "$value"
            return
        fi
    done <"$SECRETS"
    fail "no $1 in $SECRETS"
}

# What a script leaves on the host for its next runs.
STATE=/var/lib/consulfwd-site

# begin NAME: what is written from here on is for one service. CHANGED says whether that has to be told,
# and does so in the next run, too, if this one ends before `applied`, by whatever: a mark that is on
# disk before anything is written stays until then. So `changed` comes first, the writing after it, and
# what follows from it is done `if [ -n "$CHANGED" ]`, not because something was written just now.
CHANGED= PENDING=
begin() {
    PENDING=$STATE/$1.pending CHANGED=
    [ ! -e "$PENDING" ] || CHANGED=yes
}
changed() {
    if [ -n "$PENDING" ]; then
        mkdir -p "$STATE"
        : >"$PENDING"
        sync "$PENDING" "$STATE"
    fi
    CHANGED=yes
}
applied() {
    rm -f "$PENDING"
    CHANGED=
}

# put FILE MODE OWNER:GROUP <CONTENT: `changed` if the file was not so already.
put() {
    local file=$1 mode=$2 owner=$3 new
    mkdir -p "$(dirname "$file")"
    # What one that was killed left.
    rm -f "$file".new-??????
    new=$(mktemp "$file.new-XXXXXX")
    cat >"$new"
    chown "$owner" "$new"
    chmod "$mode" "$new"
    if cmp -s "$new" "$file" && [ "$(stat -c '%a %U:%G' "$file")" = "$(stat -c '%a %U:%G' "$new")" ]
    then
        rm "$new"
    else
        changed
        sync "$new"
        mv -T "$new" "$file"
        say "wrote $file"
    fi
}

# packages NAME...: installs what is missing, so that a host that has all needs no route.
packages() {
    local name missing=()
    for name; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] \
            || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # What was interrupted meanwhile: apt would refuse to go on. If it cannot be, apt says why.
    dpkg --configure -a >/dev/null 2>&1 || true
    apt-get -qq update
    # A host that has just booted may be updating itself.
    apt-get -qq install -o DPkg::Lock::Timeout=120 --yes --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; fails with WHAT.
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "$what"
        sleep 0.2
    done
}
# answers ADDRESS PORT: does something accept TCP connections there?
answers() { timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

# The name servers of before, kept at the first run: later /etc/resolv.conf may name this host.
FIRST_RESOLV_CONF=$STATE/resolv.conf
keep_resolv_conf() {
    local from=/etc/resolv.conf
    [ ! -e "$FIRST_RESOLV_CONF" ] || return 0
    # systemd-resolved's own address is of no use to others.
    if [ -e /run/systemd/resolve/resolv.conf ] && grep -q '^nameserver 127\.0\.0\.53' "$from"; then
        from=/run/systemd/resolve/resolv.conf
    fi
    mkdir -p "$(dirname "$FIRST_RESOLV_CONF")"
    # At once: half of it would be kept for ever.
    cp "$from" "$FIRST_RESOLV_CONF.new" 2>/dev/null || : >"$FIRST_RESOLV_CONF.new"
    mv -T "$FIRST_RESOLV_CONF.new" "$FIRST_RESOLV_CONF"
}
# forwarders: whom to ask about names outside Consul, one a line.
forwarders() {
    if [ -n "$FORWARDERS" ]; then
        # shellcheck disable=SC2086
        printf '%s\n' $FORWARDERS
    else
        keep_resolv_conf
        awk '$1 == "nameserver" && $2 !~ /^127\./ && $2 != "::1" { print $2 }' "$FIRST_RESOLV_CONF"
    fi
}
