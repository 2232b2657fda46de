"""That no two processes of tests meet at an address, and no two servers at a port chosen before."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

from consulfwd.dev import DevCluster
from tests import loopback
from tests.loopback import OWN, free_port


def test_each_process_has_an_address_of_its_own() -> None:
    numbers = [1, 99, 100, 10_000, 999_999, *range(4_100_000, 4_101_000)]
    found = [loopback.own(one, "linux") for one in numbers]
    assert len(set(found)) == len(numbers)
    # As long as each other, so that no table of a test is wider in one run than in another; and
    # none that tests have for other ends.
    assert {len(one) for one in found} == {15}
    assert min(ipaddress.ip_address(one).packed[1] for one in found) >= 100
    assert loopback.own(4711, "darwin") == "127.0.0.1"
    script = "from tests.loopback import OWN; print(OWN)"
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert other.stdout.strip() != OWN or OWN == "127.0.0.1"


def test_agents_of_the_tests_are_there() -> None:
    assert {one.address for one in DevCluster(agents=2, http=False).agents} == {OWN}


def test_a_port_is_given_out_once_and_is_free() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    # Linux gives none of them to whoever asks for any, unless it was told to.
    assert max(ports) < 32_768
