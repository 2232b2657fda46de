"""docs/monitoring.md has the paths, orders and bounds that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from consulfwd.ops.admin import http
from consulfwd.ops.admin.connections import LIMITS
from consulfwd.ops.admin.routes import ORDERS, Routes
from consulfwd.ops.orders import Orders

NOBODY = cast(Any, None)


@pytest.fixture(scope="module")
def text(project: Path) -> str:
    return (project / "docs" / "monitoring.md").read_text()


def test_the_paths_and_orders(text: str) -> None:
    rows = re.findall(r"^\| `(GET|POST) (/\S*)` \| (.*) \|$", text, re.MULTILINE)
    gets = {path for method, path, _ in rows if method == "GET"}
    assert gets == {*Routes(NOBODY, NOBODY, str)._gets, "/", "/querylog"}
    ((path, what),) = [(path, what) for method, path, what in rows if method == "POST"]
    assert path == f"{ORDERS}NAME"
    assert set(re.findall(r"`(\w+)`", what)) == Orders(NOBODY)._orders.keys()


def test_the_bounds(text: str, project: Path) -> None:
    many, streams, head, stuck = LIMITS.connections, LIMITS.streams, LIMITS.head, LIMITS.stuck
    sizes = [one // 1024 for one in (http.HEAD, http.LINE, http.BODY)]
    words = " ".join(text.split())
    assert f"{many} at the socket, {many} at the port, {streams} of each" in words
    assert f"{head:g} s to come, {sizes[0]} KiB for its head ({sizes[1]} for a line)" in words
    assert f"{sizes[2]} KiB for its body. Who reads nothing for {stuck:g} s is let go" in words
    row = (
        f"{many} connections at the admin socket and {many} at the port, {streams} of each with"
        f" events or queries; {head:g} s for a request, {sizes[0]} KiB of its head,"
        f" {sizes[2]} KiB of its body, {stuck:g} s unread;"
    )
    assert row in (project / "docs" / "architecture.md").read_text()
