"""The agents' own wire code: nothing but BadQuery escapes it, and it says what it was told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dev import wire

HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0001")


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: HEADER + rest))
def test_any_bytes_are_a_query_or_a_bad_one(packet: bytes) -> None:
    try:
        reply = wire.DevReply(wire.read_query(packet)).pack()
    except wire.BadQuery as bad:
        reply = packet if bad.rcode is None else wire.refusal(packet, bad.rcode)
    assert reply[:2] == packet[:2]


def test_compressed_query_names_point_backwards_only() -> None:
    backwards = HEADER + bytes.fromhex("01 61 00 0001 0001  c00c 0029 04d0 00000000 0000")
    query = wire.read_query(backwards)
    assert (query.name, query.edns_size) == ((b"a",), 1232)
    with pytest.raises(wire.BadQuery):
        wire.read_query(HEADER + bytes.fromhex("01 61 c00c 0001 0001 00 0029 04d0 00000000 0000"))


def test_long_texts_and_large_replies(dns_tools: Any) -> None:
    query = wire.DevQuery(1, 0, wire.labels("a.consul"), wire.TXT, 1)
    reply = wire.DevReply(query, answers=[wire.txt(query.name, 0, "x" * 300)])
    (row,) = dns_tools.parse(reply.pack()).answers
    assert row.data == '"' + "x" * 255 + '" "' + "x" * 45 + '"'
    # beyond 16 KB a name cannot be pointed at any more (RFC 1035, 4.1.4)
    names = [f"n{n}.node.consul." for n in range(1000)]
    many = [wire.srv(query.name, 0, 1, n, wire.labels(name)) for n, name in enumerate(names)]
    targets = [wire.address(wire.labels(name), 0, "10.0.0.1") for name in names]
    found = dns_tools.parse(wire.DevReply(query, answers=many, additional=targets).pack())
    assert [row.data for row in found.answers] == [f"1 1 {n} {t}" for n, t in enumerate(names)]
    assert [row.name for row in found.additional] == names


def test_aiohttp_is_imported_only_for_http(project: Path) -> None:
    code = (
        "import sys, consulfwd.dev as d; d.DevCluster(http=False); "
        "assert 'aiohttp' not in sys.modules; d.DevCluster(); assert 'aiohttp' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project)
