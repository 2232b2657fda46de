"""Orders to a zone's publishers: written, read, and what of strangers' is refused."""

from __future__ import annotations

import json

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.orders import (
    LARGEST,
    Allow,
    Orders,
    Pause,
    read_allow,
    read_pause,
    write_allow,
    write_pause,
)

PAUSE = Pause("moving racks", "ada at ns1", 1000.0)
ALLOW = Allow(12, 2000.0, "ada at ns1", 1000.0, frozenset({"web", "db"}))


def test_what_is_written_is_read() -> None:
    assert read_pause(write_pause(PAUSE), "x") == PAUSE
    for one in (ALLOW, ALLOW._replace(units=None)):
        assert read_allow(write_allow(one), "x") == one


def test_what_counts_as_a_pause() -> None:
    assert Orders().paused == ""
    assert Orders(PAUSE).paused == "paused by ada at ns1: moving racks"
    assert Orders(PAUSE._replace(why="")).paused == "paused by ada at ns1"
    # Whoever ordered something that cannot be read wants something; nothing is done meanwhile.
    assert Orders(wrong=("the key x: it is not JSON",)).paused == "the key x: it is not JSON"


@pytest.mark.parametrize(
    "changed",
    [{"number": -1}, {"number": 1.5}, {"number": True}, {"until": "soon"}, {"by": "a\nb"},
     {"by": None}, {"units": "web"}, {"units": [1]}, {"units": ["x"] * 10_001}],
)  # fmt: skip
def test_what_is_wrong_with_an_allowance_is_said(changed: dict[str, object]) -> None:
    text = json.dumps(json.loads(write_allow(ALLOW)) | changed).encode()
    with pytest.raises(ApplyError, match=rf"the key: {next(iter(changed))}"):
        read_allow(text, "the key")


@pytest.mark.parametrize("text", [b"", b"yes", b"[]", b"{}", b"\xff", b" " * (LARGEST + 1)])
def test_what_is_no_order_is_refused(text: bytes) -> None:
    for read in (read_pause, read_allow):
        with pytest.raises(ApplyError, match="the key"):
            read(text, "the key")
