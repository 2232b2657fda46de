"""The ports of real agents: each its own, also where Consul's usual ones are taken."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from consulfwd.dev import real_config
from consulfwd.dev.real_config import Ports, choose_ports


def test_no_port_is_chosen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = astuple(Ports())
    # Whatever is tried, it is free; and always in the same order.
    monkeypatch.setattr(
        real_config, "_free", lambda addresses, port, within: port not in usual
    )
    monkeypatch.setattr("random.sample", lambda ports, count: list(ports))
    ports = astuple(choose_ports(["127.0.0.1"]))
    assert len(set(ports)) == len(ports)
    first = ports[0]
    assert first not in astuple(choose_ports(["127.0.0.1"], 1, first))[2:]
