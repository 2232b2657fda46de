"""What a collector reads: the fields by their official numbers, as any reader finds them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.errors import StartError
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog import dnstap
from tests.ops.querylog.notes import AT, noted, packed


def varint(octets: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (octets[at] & 127) << shift
        shift += 7
        at += 1
        if octets[at - 1] < 128:
            return value, at


def read(octets: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields by number: as the encoding of protocol buffers says, by nobody's library."""
    at = 0
    while at < len(octets):
        tag, at = varint(octets, at)
        if tag & 7 == 0:
            value, at = varint(octets, at)
            yield tag >> 3, value
        elif tag & 7 == 5:
            yield tag >> 3, int.from_bytes(octets[at : at + 4], "little")
            at += 4
        else:
            assert tag & 7 == 2
            length, at = varint(octets, at)
            yield tag >> 3, octets[at : at + length]
            at += length


def messages(one: Noted) -> list[tuple[dict[int, Any], dict[int, Any]]]:
    """The query and the reply: what is around the message, and the message."""
    found = []
    for octets in dnstap.Encoder(dnstap.form(), "ns1", "consulfwd 1").messages(one):
        around: dict[int, Any] = dict(read(octets))
        message = around.pop(14)
        found.append((around, dict(read(message))))
    return found


def test_a_query_and_its_reply() -> None:
    one = noted(client=("10.0.0.7", 4711))
    query, reply = messages(one)
    for around, _ in (query, reply):
        assert around == {1: b"ns1", 2: b"consulfwd 1", 15: 1}
    both = {2: 1, 3: 1, 4: packed("10.0.0.7"), 5: packed("127.0.0.1"), 6: 4711, 7: 53}
    asked = {**both, 8: int(AT), 9: 250_000_000}
    assert query[1] == {**asked, 1: 5, 10: one.data}
    assert reply[1] == {**asked, 1: 6, 12: int(AT), 13: 251_500_000, 14: one.reply}


@pytest.mark.parametrize(
    ("client", "at", "family", "addresses"),
    [
        ("2001:db8::7", "2001:db8::53", 2, (packed("2001:db8::7"), packed("2001:db8::53"))),
        ("fe80::7%eth0", "fe80::53%2", 2, (packed("fe80::7"), packed("fe80::53"))),
        ("10.0.0.7", "0.0.0.0", 1, (packed("10.0.0.7"), None)),
        # An IPv4 client of a socket for all addresses of both families.
        ("::ffff:10.0.0.7", "::", 1, (packed("10.0.0.7"), None)),
    ],
)
def test_addresses(
    client: str, at: str, family: int, addresses: tuple[bytes, bytes | None]
) -> None:
    one = noted(client=(client, 1), transport="tcp")
    one.at = (at, 53)
    _, message = messages(one)[0]
    assert (message[2], message[3]) == (family, 2)
    assert (message[4], message.get(5)) == addresses


@given(st.binary(max_size=5000), st.binary(max_size=5000), st.integers(1, 65535))
def test_whatever_was_asked_comes_through(query: bytes, reply: bytes, port: int) -> None:
    one = noted(data=query or b"\0", reply=reply, client=("10.0.0.7", port))
    asked, answered = messages(one)
    assert (asked[1][10], asked[1][6]) == (one.data, port)
    assert answered[1][14] == reply


def test_a_missing_library_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "google"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(StartError, match=r"needs the library protobuf .*pip install") as error:
        dnstap.form()
    assert error.value.exit_code == 3


def test_an_unusable_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.protobuf import descriptor_pool

    monkeypatch.setattr(descriptor_pool, "DescriptorPool", lambda: 1 / 0)
    with pytest.raises(StartError, match=r"not usable \(ZeroDivisionError.*install it"):
        dnstap.form()
