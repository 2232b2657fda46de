#!/usr/bin/env bash
# nginx that follows the holder of a Consul lock, by examples/primary-backup. See --help.
. "$(dirname "$0")/lib.sh"
usage "$@" <<'TEXT'
usage: web.sh

Installs nginx and the site app.example.com of examples/primary-backup: its requests go to the one
instance of the service app whose host holds the lock service/app/leader. consulfwd render writes the
upstream (app-upstream.service); run consulfwd.sh before.
TEXT
[ $# -eq 0 ] || misused
as_root
role "$WEB"
[ -x /opt/consulfwd/bin/consulfwd ] || fail "no consulfwd here: run consulfwd.sh first"
packages nginx-light
example=$SOURCE/examples/primary-backup

begin app-upstream
put /etc/consulfwd/upstream.conf.tpl 644 root:root <"$example/upstream.conf.tpl"
put /etc/systemd/system/app-upstream.service 644 root:root <"$example/app-upstream.service"
systemctl --quiet enable --now nginx
systemctl daemon-reload
systemctl --quiet enable app-upstream
if [ -n "$CHANGED" ]; then
    systemctl restart app-upstream
else
    systemctl start app-upstream
fi
applied
wait_for 60 "the upstream was not written: journalctl -u app-upstream" \
    test -e /etc/nginx/conf.d/app-upstream.conf

# Only now: nginx refuses a site whose upstream is missing.
begin nginx
put /etc/nginx/conf.d/app.conf 644 root:root <"$example/app.conf"
# What Debian's nginx.conf includes outside of http.
put /etc/nginx/modules-enabled/90-app.conf 644 root:root <<'TEXT'
worker_shutdown_timeout 10s;
TEXT
[ -z "$CHANGED" ] || systemctl reload-or-restart nginx
applied
