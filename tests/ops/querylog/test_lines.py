"""What a line says, and that it stays a line whatever strangers write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import const, replies
from consulfwd.dns.edns import build_ede
from consulfwd.dns.wire import read_query
from consulfwd.net.noting import Kind
from consulfwd.ops.querylog.lines import as_json, as_text, fields
from tests.net.messages import question
from tests.ops.querylog.notes import noted

SAID = "web.service.consul. A from 10.0.0.7 over udp: REFUSED"


@pytest.mark.parametrize(
    ("kind", "server", "words"),
    [
        ("hot", "", "hot"),
        ("cache", "dc1-a", "cache of dc1-a"),
        ("stale", "dc1-a", "stale of dc1-a"),
        ("agent", "dc1-a", "agent dc1-a"),
        ("recursor", "9.9.9.9", "recursor 9.9.9.9"),
        ("here", "", "here"),
        ("nobody", "", "nobody"),
    ],
)
def test_a_line_says_where_an_answer_is_from(kind: Kind, server: str, words: str) -> None:
    one = noted(kind=kind, server=server)
    assert as_text(fields(one)) == f"{SAID}, {words}, 1.5 ms, {len(one.reply)} octets"


def test_the_fields() -> None:
    one = noted(client=("2001:db8::7", 99), transport="tcp", ede=(3, "dc1-a answered this"))
    assert fields(one) == {
        "time": "2026-11-30T02:16:40.250Z",
        "name": "web.service.consul.",
        "type": "A",
        "client": "2001:db8::7",
        "port": 99,
        "transport": "tcp",
        "rcode": "REFUSED",
        "from": "agent",
        "server": "dc1-a",
        "ms": 1.5,
        "octets": len(one.reply),
        "ede": 3,
        "ede_text": "dc1-a answered this",
    }
    assert json.loads(as_json(fields(one))) == fields(one)


def test_the_extended_error_of_what_is_refused_here_is_read_from_the_reply() -> None:
    query = question("web.service.consul")
    reply = replies.refuse(query, const.REFUSED, read_query(query), (18, "not in access.allow"))
    line = as_text(fields(noted(kind="here", server="", data=query, reply=reply)))
    assert line.endswith(", EDE 18 (not in access.allow)")
    assert build_ede(18, "not in access.allow") in reply


def test_what_is_no_question_is_told_as_that() -> None:
    garbage = noted(data=b"\0\1\1\0\0\1\0\0\0\0\0\0\xff\xff", reply=b"\0\1\x81\x01" + bytes(8))
    line = as_text(fields(garbage))
    assert line.startswith("what is no question from 10.0.0.7 over udp: FORMERR")


def test_another_class_is_told() -> None:
    chaos = question("version.bind", "TXT", edns=None)[:-2] + b"\0\3"
    seen = fields(noted(data=chaos, reply=b""))
    assert seen["class"] == "CH"
    assert as_text(seen).startswith("version.bind. TXT (CH) from ")


def wire(labels: list[bytes]) -> bytes:
    name = b"".join(bytes([len(one)]) + one for one in labels) + b"\0"
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"


LABELS = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4)


@given(LABELS, st.text(max_size=60), st.text(max_size=20))
def test_a_line_stays_a_line(labels: list[bytes], why: str, server: str) -> None:
    seen = fields(noted(data=wire(labels), reply=b"", server=server, ede=(0, why)))
    text, octets = as_text(seen), as_json(seen)
    assert text.isprintable()
    assert len(f"{text}\n".splitlines()) == 1
    assert octets.isascii()
    assert octets.isprintable()
    assert json.loads(octets) == seen
    assert " from " not in seen["name"]


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_nothing_that_is_sent_breaks_it(query: bytes, reply: bytes) -> None:
    seen = fields(noted(data=query or b"\0", reply=reply, kind="here"))
    assert as_text(seen).isprintable()
