"""No input costs more than time in proportion to its size. Steps are counted, not seconds.

A step is one look at the bytes by index or slice: what every loop over a message must do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import read_reply
from consulfwd.dns.movable import movable
from consulfwd.dns.records import read_records
from consulfwd.dns.wire import read_query
from consulfwd.errors import WireError
from tests.dns.packets import question, wire

QUESTION = question("a.b A")
START = 12 + len(QUESTION)
FULL = 65535
# The longest name there can be is walked by 127 labels and 128 pointers, two or three looks each,
# and it takes 12 octets to ask for that.
STEPS_PER_OCTET = 100


class Counted(bytes):
    """Bytes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def message(size: int, front: bytes, repeated: bytes, *, answers: int = 0) -> bytes:
    """A reply filled up to about `size` octets by repeating one record, or a part of one."""
    times = (size - START - len(front)) // len(repeated)
    count = min(answers + times, 0xFFFF)
    return wire(f"1234 8180 0001 {count:04x} 0000 0000", QUESTION, front) + repeated * times


def record(owner: str, rtype: int = 1, rdata: bytes = bytes(4)) -> bytes:
    return wire(owner, f"{rtype:04x} 0001 00000000 {len(rdata):04x}", rdata)


def behind(rdata: bytes) -> bytes:
    """A record of unknown type that holds `rdata`: pointers may lead to HELD."""
    return record("@12", 65280, rdata)


HELD = START + 12
CHAIN = b"\0" + b"".join(
    wire(f"@{HELD if n == 0 else HELD + 1 + 2 * (n - 1)}") for n in range(8000)
)
LABELS = b"\1x" * 126 + b"\0"


def end_of_chain(pointers: int) -> int:
    return HELD + 1 + 2 * (pointers - 1)


SHAPES: dict[str, Callable[[int], bytes]] = {
    "plain addresses": lambda size: message(size, b"", record("@12")),
    "pointers to a name of 126 labels": lambda size: message(
        size, behind(LABELS), record(f"@{HELD}"), answers=1
    ),
    "pointers to a chain of 127 pointers": lambda size: message(
        size, behind(CHAIN[: 1 + 2 * 127]), record(f"@{end_of_chain(127)}"), answers=1
    ),
    "pointers to a chain as long as can be": lambda size: message(
        size,
        behind(CHAIN[: 1 + 2 * (size // 10)]),
        record(f"@{end_of_chain(size // 10)}"),
        answers=1,
    ),
    "three pointers each to 126 labels": lambda size: message(
        size, behind(LABELS),
        record(f"@{HELD}", 6, wire(f"@{HELD} @{HELD}") + bytes(20)), answers=1,
    ),
    "the longest names in full": lambda size: message(size, b"", LABELS + record("")),
    "names that never end": lambda size: message(size, b"", b"\1x"),
    "labels of 63": lambda size: message(size, b"", b"\x3f" + b"x" * 63),
    "nothing but pointers to the question": lambda size: message(size, b"", wire("@12")),
    "nothing but pointers to themselves": lambda size: message(size, b"", wire(f"@{START}")),
    "nothing but zeroes": lambda size: message(size, b"", b"\0"),
    "nothing but empty records": lambda size: message(size, b"", record(".", 65280, b"")),
    "one record of everything": lambda size: message(
        size, b"", wire("@12 ff00 0001 00000000") + (size - START - 12).to_bytes(2, "big") + b"x"
    ),
}  # fmt: skip


def each_owner_at_the_one_before(size: int) -> bytes:
    """Chains that grow by one pointer with every record."""
    owners = [12] + [START + 16 * n for n in range((size - START) // 16 - 1)]
    records = b"".join(record(f"@{at}") for at in owners if at < 0x4000)
    count = len(records) // 16
    return wire(f"1234 8180 0001 {count:04x} 0000 0000", QUESTION) + records


SHAPES["each owner a pointer to the one before"] = each_owner_at_the_one_before


def looks(read: Callable[[bytes], object], data: bytes) -> int:
    counted = Counted(data)
    with suppress(WireError):
        read(counted)
    return counted.looks


def as_reply(data: bytes) -> object:
    return read_reply(data, QUESTION)


def as_records(data: bytes) -> object:
    return read_records(data, START)


@pytest.mark.parametrize("read", [as_reply, as_records])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_grow_with_the_size_and_no_faster(
    read: Callable[[bytes], object], shape: str
) -> None:
    sizes = [FULL // 8, FULL // 4, FULL // 2]
    spent = [looks(read, SHAPES[shape](size)) for size in sizes]
    assert all(steps <= size * STEPS_PER_OCTET for steps, size in zip(spent, sizes, strict=True))
    # What a message begins with costs the same whatever follows it.
    fixed = 50_000
    assert spent[1] <= 2.1 * spent[0] + fixed
    assert spent[2] <= 2.1 * spent[1] + fixed


def test_what_leads_into_answers_is_followed_once() -> None:
    """All that is behind two answers leads to the last label of one's name of 126 labels."""
    instance = record("@12", 33, bytes(6) + LABELS)
    last = START + len(instance) - 3
    spent = []
    for size in (FULL // 8, FULL // 4, FULL // 2):
        beside = record(f"@{last}")
        count = size // len(beside)
        head = wire(f"1234 8180 0001 0002 0000 {count:04x}", QUESTION)
        reply = read_reply(head + 2 * instance + count * beside, QUESTION)
        reply.body = counted = Counted(reply.body)
        assert movable(reply, QUESTION) is not None
        spent.append(counted.looks)
        assert 0 < counted.looks <= 4 * size
    assert spent[2] <= 2.1 * spent[1] <= 4.41 * spent[0]


def test_the_counter_counts() -> None:
    """Were looks not seen, nothing above could fail."""
    small, large = (SHAPES["plain addresses"](size) for size in (FULL // 4, FULL // 2))
    for read in (as_reply, as_records):
        assert looks(read, small) > len(small) / 16
        assert looks(read, large) > 1.9 * looks(read, small)


READABLE = (
    "plain addresses",
    "pointers to a name of 126 labels",
    "pointers to a chain of 127 pointers",
    "three pointers each to 126 labels",
)


def test_names_that_can_be_read_are_taken_at_full_size() -> None:
    for shape in READABLE:
        data = SHAPES[shape](FULL)
        assert len(data) > FULL - 100
        count = int.from_bytes(data[6:8], "big")
        assert len(read_reply(data, QUESTION).ends) == count
        assert len(read_records(data, START)[0]) == count
    for shape in (
        "pointers to a chain as long as can be",
        "nothing but pointers to themselves",
    ):
        with pytest.raises(WireError):
            read_reply(SHAPES[shape](FULL), QUESTION)


@pytest.mark.parametrize("body", [b"\1x", b"\x3f" + b"x" * 63, b"\0", b"\xc0\x0c", b"\xff"])
def test_queries_of_any_size(body: bytes) -> None:
    for size in (FULL // 2, FULL):
        data = wire("1234 0100 0001 0000 0000 0002") + body * (size // len(body))
        # A name is given up at 255 octets, and there is one question and two records at most.
        assert 1 <= looks(read_query, data) <= 3 * 130


def test_a_stream_of_single_octets_is_not_copied_for_each() -> None:
    """The buffer is cut once per message, not once per octet."""
    stream = frame(b"x" * 1000) * 20
    reader = StreamReader()
    found = []
    held = []
    for octet in stream:
        found += reader.feed(bytes((octet,)))
        held.append(reader.pending)
    assert found == [b"x" * 1000] * 20
    assert held == [*range(1, 1002), 0] * 20
