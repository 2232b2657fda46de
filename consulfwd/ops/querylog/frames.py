"""Frame Streams as spoken by two (fstrm): octets to frames and back. Pure.

A data frame is its length and its octets. Length 0 announces a control frame: READY and START name
what is sent (the content type), ACCEPT says that it is wanted; STOP ends it, FINISH says that all
of it came.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
CONTENT_TYPE = 1
# No control frame is longer (octets), and no content type.
MAX_CONTROL, MAX_CONTENT_TYPE = 512, 256
_LENGTH = struct.Struct("!I")
_FIELD = struct.Struct("!II")


class FrameError(Exception):
    """Octets that are no control frame."""


class Control(NamedTuple):
    """A control frame: its type, and the content types it names."""

    kind: int
    content_types: tuple[bytes, ...] = ()


def control(kind: int, *content_types: bytes) -> bytes:
    """Return a control frame as it is sent."""
    fields = b"".join(_FIELD.pack(CONTENT_TYPE, len(one)) + one for one in content_types)
    body = _LENGTH.pack(kind) + fields
    return _LENGTH.pack(0) + _LENGTH.pack(len(body)) + body


def data(payload: bytes) -> bytes:
    """Return a data frame as it is sent; there is none without octets."""
    assert payload
    return _LENGTH.pack(len(payload)) + payload


def read_control(octets: bytes) -> tuple[Control, int] | None:
    """Return the control frame that begins here and its length, None if more must come.

    Raises FrameError.
    """
    if len(octets) < 8:
        if octets[:4] != bytes(4)[: len(octets)]:
            raise FrameError("no control frame")
        return None
    escape, length = _FIELD.unpack_from(octets)
    if escape:
        raise FrameError("no control frame")
    if not 4 <= length <= MAX_CONTROL:
        raise FrameError(f"a control frame of {length} octets")
    end = 8 + length
    if len(octets) < end:
        return None
    (kind,) = _LENGTH.unpack_from(octets, 8)
    named = []
    position = 12
    while position < end:
        if position + 8 > end:
            raise FrameError("a field is cut short")
        field, size = _FIELD.unpack_from(octets, position)
        position += 8 + size
        if field != CONTENT_TYPE or size > MAX_CONTENT_TYPE or position > end:
            raise FrameError("a field that nobody knows, or that is too long")
        named.append(octets[position - size : position])
    return Control(kind, tuple(named)), end
