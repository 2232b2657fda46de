"""systemd-resolved between programs and us, as `packaging/host-dns resolved` sets it up.

It runs by itself in a host's network namespace, with no system bus and no files of this host's to
find or to write. That it works as a service of a whole host is tested in `tests/e2e`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.query

from consulfwd.dev.child import Child, Guard
from tests.integration.asking import question
from tests.integration.namespaces import Host, cable

ADDRESS = "127.0.0.53"
INSTALLED = Path("/lib/systemd/systemd-resolved")
# Where scripts/install-test-tools keeps what it only fetches.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "consulfwd")
SETTINGS = """\
[Resolve]
DNS={server}
Domains=~.
DNSSEC=no
DNSOverTLS=no
LLMNR=no
MulticastDNS=no
"""
# It becomes this user, in a folder that is the user's.
_NUMBER = 65533
_RUN = f"""
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/resolve
chown {_NUMBER}:{_NUMBER} /run/systemd/resolve
grep -v ^systemd-resolve: /etc/passwd >/run/passwd
echo 'systemd-resolve:x:{_NUMBER}:{_NUMBER}::/:/usr/sbin/nologin' >>/run/passwd
mount --bind /run/passwd /etc/passwd
mount -t tmpfs none /etc/systemd
cp "$1" /etc/systemd/resolved.conf
exec "$2"
"""


@contextmanager
def networked() -> Iterator[Host]:
    """A host with a cable and a network, in which the test runs: else resolved asks nobody."""
    made = Host("us")
    with made.inside():
        cable(made)
        made.ip("addr add 10.3.0.1/24 dev lan")
        yield made
    made.close()


@contextmanager
def resolved(
    host: Host, server: str, folder: Path, guard: Guard, *, given: str = ""
) -> Iterator[None]:
    """One that asks `server`, and answers at ADDRESS, for as long as the block.

    Its settings are those, or the ones `given`; what it says is in the file `log`.
    """
    folder.mkdir()
    settings = folder / "resolved.conf"
    settings.write_text(given or SETTINGS.format(server=server))
    mounted = ("unshare", "--mount", "--propagation=private", "sh", "-c", _RUN, "sh")
    command: list[str | Path] = [*mounted, settings, _program(folder)]
    child = Child("systemd-resolved", command, folder / "log", guard)
    try:
        with host.inside():
            child.start()
            child.wait_until(_answers, "answering")
        yield
    finally:
        child.kill()


def _answers() -> bool:
    try:
        dns.query.udp(question("localhost"), ADDRESS, 0.25)
    except (OSError, dns.exception.DNSException):
        return False
    return True


def _program(folder: Path) -> Path:
    """What this system has, or what its package has."""
    if INSTALLED.exists():
        return INSTALLED
    found = sorted((CACHE / "packages").glob("systemd-resolved_*.deb"))
    assert found, "there is no systemd-resolved: scripts/install-test-tools fetches its package"
    subprocess.run(["dpkg-deb", "-x", found[-1], folder / "package"], check=True)
    return folder / "package" / INSTALLED.relative_to("/")
