"""Which unit of systemd's a process is in, as the kernel tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.apply import commands

UNIT = "consulfwd-render@web.service"
SLICE = r"/system.slice/system-consulfwd\x2drender.slice"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (f"0::{SLICE}/{UNIT}\n", UNIT),
        # Of a unit that has groups of its own below.
        (f"0::{SLICE}/{UNIT}/worker\n", UNIT),
        # Both hierarchies there may be, and others.
        (f"7:cpu:/a.service\n1:name=systemd:{SLICE}/{UNIT}\n0::/\n", UNIT),
        (f"1:name=systemd:/\n0::{SLICE}/{UNIT}\n", UNIT),
        # Another systemd's, or nobody's.
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.service\n", ""),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cgroup: str, unit: str
) -> None:
    file = tmp_path / "cgroup"
    file.write_text(cgroup)
    monkeypatch.setattr(commands, "GROUPS", file)
    monkeypatch.setenv("INVOCATION_ID", "0123")
    assert commands.own_unit() == unit
    monkeypatch.delenv("INVOCATION_ID")
    assert commands.own_unit() == ""


def test_where_the_kernel_does_not_tell_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(commands, "GROUPS", tmp_path / "none")
    monkeypatch.setenv("INVOCATION_ID", "0123")
    assert commands.own_unit() == ""
