"""Whether our own line is cut, as the kernel says: in network namespaces of the test's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from consulfwd.failover.checks.route import cut

SCRIPT = """
set -e
ip link set lo up
ip link add near type veth peer name far
ip addr add 198.51.100.1/24 dev near
ip addr add 2001:db8::1/64 dev near nodad
ip link set far up
ask() { "$PYTHON" -c 'import sys; from consulfwd.failover.checks.route import cut; \
print(*(cut(one) or "-" for one in sys.argv[1:]), sep="; ")' "$@"; }
ask 127.0.0.1 198.51.100.9 192.0.2.9
ip link set near up
ip route add default via 198.51.100.2
ip -6 route add default via 2001:db8::2
ip route add unreachable 203.0.113.0/24
ask 127.0.0.1 198.51.100.9 192.0.2.9 203.0.113.9 2001:db8:9::9
ip neigh add 198.51.100.2 dev near nud failed
ip neigh add 198.51.100.9 dev near nud failed
ip -6 neigh add 2001:db8::2 dev near nud failed
ask 198.51.100.9 192.0.2.9 2001:db8:9::9
ip link set far down
ask 198.51.100.9 192.0.2.9
"""


def test_what_is_here_is_not_cut() -> None:
    assert cut("127.0.0.1") == cut("::1") == ""


def test_what_is_no_address_is_not_known() -> None:
    assert cut("nowhere") == cut("fe80::1%none") == ""


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_what_the_kernel_says() -> None:
    script = ["unshare", "--net", "--user", "--map-root-user", "sh", "-c", SCRIPT]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    environment["PYTHONPATH"] = ":".join(sys.path)
    ran = subprocess.run(
        script, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    if "unshare: " in ran.stderr:
        pytest.skip(f"no namespaces here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "-; no route from here; no route from here",
        "-; -; -; no route from here; -",
        # A host of our own network that is silent is not our line; a gateway is.
        "-; the gateway 198.51.100.2 does not answer; the gateway 2001:db8::2 does not answer",
        "near has no carrier; near has no carrier",
    ]
