"""Whole hosts for the tests: systemd-nspawn containers that boot, on a network of their own.

Each has this host's root below a layer of its own, so what is installed here is installed there,
and nothing that happens there is seen here. The layer is gone afterwards; a copy of it can be laid
below that of others. Its network is a namespace of `tests.integration.namespaces`: there is no way
out. Needs root. What belongs here is how they start, run commands and end; it must not know what
they are for.

`python -m tests.e2e.machines NAME=ADDRESS ...` boots some to try things out in.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from consulfwd.dev.child import Child, Guard
from tests.integration.namespaces import Host, Network, network

T = TypeVar("T")

LAN = "lan"
PROJECT = Path(__file__).parents[2]
# Where the machines find the project, as boxes of Vagrant do.
SHARED = Path("/vagrant")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60.0

# The mounts and the processes are in namespaces of their own, and go with the first process there,
# which goes with `unshare`. Nothing is to start that is enabled on this host, and no name to be
# resolved as on this host.
_BOOT = r"""
set -eu
umask 022
folder=$1 name=$2 network=$3; shift 3
for top in $CGROUPS; do
    mkdir -p "$top/$name"
    echo 0 > "$top/$name/cgroup.procs"
done
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
# It is at a process that is not to be seen any more in a moment.
: > "$folder/network"
mount --bind "$network" "$folder/network"
mount -t proc proc /proc
# Where systemd-nspawn leaves things behind.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn
lower=/
if [ -n "$BASE" ]; then
    # Not where it is: that is below the other one, and layers must not overlap.
    cp --archive "$BASE" "$folder/base"
    lower=$folder/base:/
fi
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" \
    "$folder/root"
cd "$folder/root"
rm -rf etc/systemd/system/*.wants/* var/log/journal usr/sbin/policy-rc.d
for unit in console-getty.service systemd-resolved.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
echo "$MACHINE_ID" > etc/machine-id
echo "$NAME" > etc/hostname
printf '127.0.0.1 localhost\n' > etc/hosts
rm -f etc/resolv.conf
: > etc/resolv.conf
# It ends with this code when the machine restarts.
code=133
while [ "$code" = 133 ]; do
    code=0
    systemd-nspawn --quiet --register=no --keep-unit --boot --link-journal=no --console=pipe \
        --resolv-conf=off --timezone=off --directory="$folder/root" --machine="$NAME" \
        --network-namespace-path="$folder/network" "$@" || code=$?
done
exit "$code"
"""


class Machine(Child):
    """One host, by the name and addresses of its network namespace.

    `shared` are folders of this host, read-only, and where they are there. It stands on
    `base`, another one's layer that was copied, if there is one.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        guard: Guard,
        shared: Mapping[Path, Path],
        *,
        base: Path | None = None,
    ) -> None:
        self.host = host
        self.address = host.addresses.get(LAN, "")
        self.folder = folder / host.name
        self.folder.mkdir(parents=True)
        self._group = f"machine-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._leader = 0
        settings = {
            "CGROUPS": " ".join(map(str, _cgroups())),
            "MACHINE_ID": uuid.uuid4().hex,
            "NAME": host.name,
            "BASE": str(base or ""),
            # Provisioning sets how patient TCP is; each network namespace has its own.
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }
        binds = [f"--bind-ro={here}:{there}" for here, there in shared.items()]
        command: list[str | Path] = [
            *("env", *(f"{name}={value}" for name, value in settings.items())),
            *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"),
            *("--", "bash", "-c", _BOOT, "boot", self.folder, self._group, host.path),
            *binds,
        ]
        super().__init__(host.name, command, folder / f"{host.name}.log", guard)

    def start(self) -> None:
        """Boot it; returns when systemd has started all it was to start."""
        super().start()
        self.wait_booted(0)

    def wait_booted(self, before: int) -> None:
        """Return when it runs, with another first process than `before`."""
        self.wait_until(lambda: self._first() not in (0, before), "booting", BOOT_S)
        self._leader = self._first()
        said = self._system()
        end = time.monotonic() + BOOT_S
        while said not in ("running", "degraded"):
            assert time.monotonic() < end, f"{self.name} is {said!r} {BOOT_S:g} s after its start"
            time.sleep(0.1)
            said = self._system()

    def reboot(self) -> None:
        """An orderly restart of the whole machine; returns when it is up again."""
        before = self._leader
        self.sh("systemctl reboot")
        self.wait_booted(before)

    def kill(self) -> None:
        """As if its power was cut; what was in its own layer is gone."""
        super().kill()
        self._leader = 0
        for top in _cgroups():
            _remove(top / self._group, within=20.0)

    def command(
        self, *arguments: str | Path, environ: Mapping[str, str] | None = None
    ) -> list[str]:
        """What runs a command in the machine, for `subprocess`."""
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **(environ or {})}
        return [
            *("nsenter", "--all", f"--target={self._leader}", "--"),
            *("env", "--ignore-environment", "--chdir=/"),
            *(f"{name}={value}" for name, value in variables.items()),
            *map(str, arguments),
        ]

    def run(
        self,
        *arguments: str | Path,
        environ: Mapping[str, str] | None = None,
        given: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> str:
        """Run a command there; what it writes. AssertionError with that if it fails and `check`."""
        done = subprocess.run(
            self.command(*arguments, environ=environ),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            umask=0o022,
        )
        if check and done.returncode:
            text = shlex.join(map(str, arguments))
            raise AssertionError(f"{self.name}: {text}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def sh(self, script: str, *, timeout: float = 60.0, check: bool = True) -> str:
        """Run a line of shell there; what it writes."""
        return self.run("bash", "-c", script, timeout=timeout, check=check)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file there, as root's, with its folder."""
        script = 'umask 077; mkdir -p "${1%/*}"; cat > "$1"; chmod "$2" "$1"'
        self.run("bash", "-c", script, "write", path, mode, given=text)

    @property
    def layer(self) -> Path:
        """Where this host finds what was written there while it runs."""
        return Path(f"/proc/{self.pid}/root{self.folder}/upper")

    def copy(self, folder: Path) -> None:
        """Copy what was written there, for others to stand on; a layer as overlayfs has it."""
        subprocess.run(["cp", "--archive", self.layer, folder], check=True, timeout=60)

    def _system(self) -> str:
        return self.run("systemctl", "is-system-running", check=False).strip()

    def _first(self) -> int:
        """The process id of its first process, once that is systemd; 0 before."""
        pid = self.pid
        with contextlib.suppress(OSError, ValueError):
            for _ in range(3):
                (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return pid
        return 0


def _cgroups() -> list[Path]:
    """The tops of the hierarchies in which systemd keeps its units apart."""
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top]
    return [one for one in (top / "systemd", top / "unified") if one.exists()]


def groups_of(pid: int) -> list[Path]:
    """The control groups of the machines that a run, as this process, booted and that are there."""
    return [group for top in _cgroups() for group in top.glob(f"machine-{pid}-*")]


def _remove(group: Path, within: float) -> None:
    """Remove a control group and those in it as soon as the last of their processes is gone."""
    end = time.monotonic() + within
    while group.exists():
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _sweep() -> None:
    """Remove the control groups of runs that could not do it themselves, as they were killed."""
    for top in _cgroups():
        for group in top.glob("machine-*"):
            name = re.fullmatch(r"machine-(\d+)-[0-9a-f]{8}", group.name)
            if name and not Path(f"/proc/{name[1]}").exists():
                with contextlib.suppress(OSError):
                    _remove(group, within=0.0)


@contextlib.contextmanager
def machines(
    addresses: Mapping[str, str],
    folder: Path,
    shared: Mapping[Path, Path] | None = None,
    *,
    base: Path | None = None,
) -> Iterator[tuple[Network, dict[str, Machine]]]:
    """Booted machines by name on one network, each with its address; gone after the block."""
    plan = {name: {LAN: f"{address}/24"} for name, address in addresses.items()}
    shared = {PROJECT: SHARED, **(shared or {})}
    _sweep()
    with contextlib.ExitStack() as stack:
        guard = Guard()
        stack.callback(guard.close)
        lan = stack.enter_context(network(plan))
        made = {
            name: Machine(host, folder, guard, shared, base=base)
            for name, host in lan.hosts.items()
        }
        for machine in made.values():
            stack.callback(machine.kill)
        at_once(Machine.start, made.values())
        yield lan, made


def at_once(work: Callable[[Machine], T], those: Iterable[Machine]) -> list[T]:
    """Do some work for several machines beside each other; what it returns, in their order."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, those))


def _main(arguments: Sequence[str]) -> None:
    """Boot machines, say how to enter them, and end them when Enter is pressed."""
    if not arguments or "-h" in arguments or "--help" in arguments:
        sys.exit(
            "usage: python -m tests.e2e.machines NAME=ADDRESS ... [/HERE=/THERE ...]\n"
            "Boots machines, prints how to enter each, and ends them when standard input ends."
        )
    pairs = [one.split("=", 1) for one in arguments]
    folders = {Path(here): Path(there) for here, there in pairs if here.startswith("/")}
    hosts = {name: address for name, address in pairs if not name.startswith("/")}
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    try:
        with machines(hosts, folder, folders) as (_, made):
            for machine in made.values():
                print(f"{machine.name}: {shlex.join(machine.command('bash'))}", flush=True)
            sys.stdin.readline()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
