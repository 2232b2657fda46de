"""Whether this host has a route, by the kernel's tables as they look."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.failover.routed import has_route

TITLES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
V4 = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
REJECTED = "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"
LO = "lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
NOWHERE = "0" * 32
V6 = f"{NOWHERE} 00 {NOWHERE} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n"
LINK = f"fe80{'0' * 28} 40 {NOWHERE} 00 {NOWHERE} 00000100 00000001 00000000 00000001     eth0\n"
MANY = LINK.replace("fe80", "ff00", 1)
ITSELF = f"{NOWHERE} 00 {NOWHERE} 00 {NOWHERE} ffffffff 00000001 00000000 00200200       lo\n"


@pytest.mark.parametrize(
    ("v4", "v6", "found"),
    [
        (TITLES + V4, "", True),
        (TITLES + LO, V6, True),
        (TITLES + V4, ITSELF, True),
        (TITLES, "", False),
        (TITLES + LO, LINK + MANY + ITSELF, False),
        (TITLES + REJECTED, "", False),
        # Who knows.
        (TITLES + "eth0\n", "", True),
        (TITLES, "x\n", True),
    ],
)
def test_it_is_seen(v4: str, v6: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "v4").write_text(v4)
    (tmp_path / "v6").write_text(v6)
    assert has_route(tmp_path / "v4", tmp_path / "v6") is found


def test_where_nobody_may_look_there_may_be_one(tmp_path: Path) -> None:
    assert has_route(tmp_path / "none", tmp_path / "none")


def test_without_ipv6(tmp_path: Path) -> None:
    (tmp_path / "v4").write_text(TITLES)
    assert not has_route(tmp_path / "v4", tmp_path / "none")
