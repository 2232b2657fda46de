"""Agents off the host, behind a veth pair made for the run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.tools import find
from benchmarks.veth import FAR, There, apart
from consulfwd.errors import StartError

_HERE = Path("/proc/thread-self/ns/net")


@contextlib.contextmanager
def wired() -> Iterator[There]:
    if find("ip") is None:
        pytest.skip("needs ip")
    with contextlib.ExitStack() as stack:
        try:
            there = stack.enter_context(apart())
        except StartError as error:
            if "run it as root" not in str(error):
                raise
            pytest.skip(str(error))
        yield there


def test_what_listens_there_is_reached_from_here_over_the_wire() -> None:
    before = _HERE.readlink()
    with wired() as there:
        near = _HERE.readlink()
        with there():
            assert _HERE.readlink() not in (before, near)
            agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            agent.bind((FAR[2], 5353))
        with agent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            assert _HERE.readlink() == near != before
            client.sendto(b"query", (FAR[2], 5353))
            agent.settimeout(5.0)
            data, peer = agent.recvfrom(100)
            assert data == b"query"
            assert peer[0] == "10.93.0.1"
    assert _HERE.readlink() == before
