"""Frame streams: what is sent is read back, and nothing else is taken for a frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.ops.querylog import frames
from consulfwd.ops.querylog.frames import Control, FrameError

TYPES = st.lists(st.binary(max_size=60), max_size=6)


def test_a_ready_frame_as_octets() -> None:
    assert frames.control(frames.READY, b"abc") == bytes.fromhex(
        "00000000 0000000f 00000004 00000001 00000003 616263"
    )
    assert frames.control(frames.STOP) == bytes.fromhex("00000000 00000004 00000003")
    assert frames.data(b"xyz") == bytes.fromhex("00000003 78797a")


@given(st.integers(1, 5), TYPES, st.binary(max_size=20))
def test_a_control_frame_is_read_back(kind: int, named: list[bytes], behind: bytes) -> None:
    sent = frames.control(kind, *named)
    assert frames.read_control(sent + behind) == (Control(kind, tuple(named)), len(sent))
    for cut in range(len(sent)):
        assert frames.read_control(sent[:cut]) is None


@given(st.binary(max_size=600))
def test_nonsense_is_nothing_or_an_error(octets: bytes) -> None:
    try:
        read = frames.read_control(octets)
    except FrameError:
        return
    assert read is None or read[1] <= len(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400",
        bytes.fromhex("00000003 78797a00"),
        bytes.fromhex("00000000 00000002 0001"),
        bytes.fromhex("00000000 00000201") + bytes(0x201),
        bytes.fromhex("00000000 00000008 00000002 00000001"),
        bytes.fromhex("00000000 0000000c 00000002 00000001 00000009"),
        bytes.fromhex("00000000 0000000c 00000002 00000007 00000000"),
    ],
)
def test_what_is_no_control_frame(octets: bytes) -> None:
    with pytest.raises(FrameError):
        frames.read_control(octets)
