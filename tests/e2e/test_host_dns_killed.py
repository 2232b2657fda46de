"""host-dns that was killed: the next run takes back what there is of it. Any user may run this."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.machines import PROJECT

# A host in namespaces of its own, whose services are programs that note what they were told. What
# SIGKILL leaves there before each command of a step is kept; from each of these the step is taken
# again, or undone: all is as if nobody had been killed, and the services know.
KILLED = r"""
fakes=$1 script=$2 step=$3 first=$4 kept=$1/kept
for folder in /etc /run; do mount -t tmpfs none $folder || exit 99; done
export PATH=$fakes:$PATH CONSULFWD=/nonexistent
cleared() { rm -rf /etc/* /etc/.[!.]* /run/*; }
fresh() {
    cleared
    mkdir -p /etc/NetworkManager/conf.d /etc/dhcp/dhclient-enter-hooks.d /etc/systemd /run/told
    printf 'search corp.example\nnameserver 192.0.2.53\n' >/etc/resolv.conf
    echo resolvconf=YES >/etc/resolvconf.conf
    # Kept at another time.
    echo older >/etc/resolv.conf.before-consulfwd
    cp -r /etc/NetworkManager /run/told/
    [ -z "$first" ] || run
}
run() { "$script" "$step" "$@" --force >/dev/null || echo "exit code $?"; }
# What is kept besides is of no use once it is undone.
state() { if [ -n "$then" ]; then rm -f /etc/resolv.conf.before-consulfwd; fi; }
all_of() { find "$1" -name '*.conf' -exec cat {} + 2>/dev/null; }
told() {
    for one in /etc/systemd/resolved.conf.d /etc/NetworkManager; do
        diff <(all_of $one) <(all_of /run/told/${one##*/}) || echo "not told at $at ($step $then)"
    done
}
fresh; BASH_ENV=$fakes/keep KEPT=$kept run $first
[ "$(find $kept -mindepth 1 -maxdepth 1 | wc -l)" -gt 8 ] || echo 'only a few commands'
for then in '' --undo; do
    fresh; run $first; run $then; state
    rm -rf $fakes/wanted; cp -r /etc $fakes/wanted
    before=/nonexistent
    for at in $kept/*; do
        # Not each command changes something.
        diff -r $before $at >/dev/null 2>&1 && continue
        before=$at
        cleared; cp -a $at/etc/. /etc/; cp -a $at/run/. /run/
        run $then; state
        diff -r $fakes/wanted /etc || echo "killed at $at, then $step $then"
        told
    done
done
"""
KEEP = r"""
set -T
changes='^(cat|chmod|cp|mkdir|mktemp|mv|printf|rm|rmdir|sync|systemctl) '
trap 'if [ -n "${begun:-}" ] && [[ $BASH_COMMAND =~ $changes ]]; then
    kept_at=$KEPT/$EPOCHREALTIME; mkdir -p $kept_at; cp -a /etc /run $kept_at/
fi' DEBUG
"""
SERVICES = """#!/bin/sh
case "$*" in
    *restart*resolved) name=systemd/resolved.conf.d ;;
    *reload*NetworkManager) name=NetworkManager ;;
    *) exit 0 ;;
esac
rm -rf "/run/told/${name##*/}"
[ ! -e "/etc/$name" ] || cp -r "/etc/$name" /run/told/
"""


@pytest.mark.parametrize("first", ["", "--undo"], ids=["step", "undo"])
@pytest.mark.parametrize("step", ["resolv.conf", "resolved"])
def test_whenever_it_is_killed_the_next_one_takes_back_what_there_is(
    tmp_path: Path, step: str, first: str
) -> None:
    # Whether the disk has it is not what is looked at, and takes long.
    for name, text in {"keep": KEEP, "systemctl": SERVICES, "sync": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    # Its way there leads through /etc.
    awk = shutil.which("awk")
    assert awk is not None
    (tmp_path / "awk").symlink_to(Path(awk).resolve())
    words = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", KILLED, "bash"]
    done = subprocess.run(
        [*words, tmp_path, PROJECT / "packaging" / "host-dns", step, first],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
