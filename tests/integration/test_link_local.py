"""Listening on an address that counts on one interface only (RFC 4007)."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.namespaces import network

# Bound, given to a next process as it were, and taken for the same.
PROGRAM = """
import json, subprocess, time
from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.kept import Kept
from consulfwd.net.binding import bind_all
from consulfwd.notify import Notifier

command = ["ip", "-json", "-6", "address", "show", "dev", "lan", "scope", "link"]
(link,) = json.loads(subprocess.check_output(command))
endpoint = Endpoint(host=link["addr_info"][0]["local"] + "%lan", port=5399)
end = time.monotonic() + 20
while True:
    try:
        (pair,) = bind_all([endpoint]).values()
        break
    except StartError:
        # Until the kernel has found out that nobody else has the address.
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
found = {sock.getsockname()[3] for sock in pair}
assert found == {link["ifindex"]}, (found, link)
assert Kept(Notifier(), pair).bind([endpoint]) == {endpoint: pair}
"""


def test_a_link_local_address_is_listened_on() -> None:
    with network({"one": {"lan": "192.0.2.1/24"}}) as lan:
        done = subprocess.run(
            ["nsenter", f"--net={lan.hosts['one'].path}", sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
