"""Messages on a stream: however the octets arrive, the same messages come out."""

from __future__ import annotations

import pytest

from consulfwd.dns.framing import StreamReader, frame

MESSAGES = [b"one", b"", b"x" * 300, b"\0\0", b"y" * 65535, b"last"]


def test_a_frame_is_length_and_message() -> None:
    assert frame(b"abc") == b"\0\3abc"
    assert frame(b"") == b"\0\0"
    assert frame(b"z" * 65535) == b"\xff\xff" + b"z" * 65535
    with pytest.raises(OverflowError):
        frame(b"z" * 65536)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 65536, 10**6])
def test_pieces_of_any_size(step: int) -> None:
    stream = b"".join(map(frame, MESSAGES))
    reader = StreamReader()
    found = []
    for at in range(0, len(stream), step):
        found += reader.feed(stream[at : at + step])
    assert found == MESSAGES
    assert reader.pending == 0


def test_one_octet_at_a_time() -> None:
    reader = StreamReader()
    transcript = [(reader.feed(bytes((octet,))), reader.pending) for octet in b"\0\2ab\0\0\0\1c\0"]
    assert transcript == [
        ([], 1), ([], 2), ([], 3), ([b"ab"], 0), ([], 1), ([b""], 0), ([], 1), ([], 2),
        ([b"c"], 0), ([], 1),
    ]  # fmt: skip
    assert reader.feed(b"") == []
    assert reader.pending == 1
