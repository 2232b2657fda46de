"""unbound that forwards to consulfwd, named as its recursor: found, said, and done without."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import dns.edns
import pytest

from consulfwd.dev.child import Guard
from tests.integration.asking import ask, data, rcode
from tests.integration.recursors import Recursor, start_unbound
from tests.integration.served import HOST, Served
from tests.loopback import free_port

FOUND = re.compile(r"ERROR recursor \S+ leads back to this server and is asked no more: (.*)")
SERVFAILED = "leads back to this server, and there is no other"
# What 20 answers take on a busy machine at most. If each was waited for it would be far more.
WAITED_S = 5.0


@pytest.mark.parametrize("others", [True, False], ids=["another recursor", "no other"])
def test_a_loop_through_unbound(
    bind: Recursor, guard: Guard, tmp_path: Path, others: bool
) -> None:
    port = free_port(HOST)
    good = f"{HOST}:{bind.port}"
    settings = {
        "listen": [f"{HOST}:{port}"],
        "consul": {"agents": [f"{HOST}:{free_port(HOST)}"]},
        "recursors": [good],
        # What goes round must not be answered on the way.
        "cache": {"max_ttl": 0},
    }
    served = Served(settings, tmp_path / "consulfwd", guard)
    (tmp_path / "unbound").mkdir()
    served.start()
    unbound = None
    try:
        # It works by consulfwd, which does not ask it yet.
        unbound = start_unbound(tmp_path / "unbound", guard, port)
        looped = f"{HOST}:{unbound.port}"
        served.configure({**settings, "recursors": [looped, good] if others else [looped]})
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: "settings reloaded" in served.said(), "reloaded")
        asked = 0
        while not FOUND.search(served.said()):
            reply = ask(served.at, f"n{asked}.example.test")
            assert rcode(reply) == ("NXDOMAIN" if others else "SERVFAIL")
            asked += 1
            time.sleep(0.02)
        (found,) = FOUND.findall(served.said())
        assert found.startswith("take it out of recursors (or resolv.conf), or have it ask")
        assert found.endswith(f"; {good} takes over" if others else "; no other is up")
        # Each question came by unbound a few times at most (it tries again), and now none does.
        assert len(unbound.queries()) <= 10 * asked + 10
        before, began = len(unbound.queries()), time.monotonic()
        for number in range(20):
            reply = ask(served.at, f"m{number}.example.test")
            if others:
                assert rcode(reply) == "NXDOMAIN"
                continue
            assert rcode(reply) == "SERVFAIL"
            (why,) = (one for one in reply.options if isinstance(one, dns.edns.EDEOption))
            assert why.text == f"{looped} {SERVFAILED}"
        # Nobody waits for it: one that did would wait to the deadline each time.
        assert time.monotonic() - began < WAITED_S
        assert not [name for name, _ in unbound.queries()[before:] if name.startswith("m")]
        if others:
            assert data(ask(served.at, "www.example.test")) == {"192.0.2.10"}
        assert served.end() == 0
    finally:
        served.kill()
        if unbound is not None:
            unbound.kill()
