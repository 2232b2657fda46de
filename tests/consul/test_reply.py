"""Headers and bodies of any kind: what is read of them, and that nothing else comes of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.reply import LARGE, Reply, parse, read
from consulfwd.errors import ConsulError

CALM = {
    "X-Consul-Index": "42",
    "X-Consul-KnownLeader": "true",
    "X-Consul-LastContact": "1500",
    "X-Consul-Query-Backend": "blocking-query",
}
HEADERS = [*CALM, "X-Consul-Results-Filtered-By-ACLs"]


def reply(body: bytes = b"[]", **more: str) -> Reply:
    headers = {f"X-Consul-{name.replace('_', '-')}": value for name, value in more.items()}
    return read("10.0.0.11:8600", 200, {**CALM, **headers}, body, 0.25)


def test_a_reply_while_all_is_well() -> None:
    assert reply() == Reply("10.0.0.11:8600", 200, 42, True, 1.5, False, False, b"[]", 0.25)
    assert reply(KnownLeader="false").known_leader is False


def test_streaming_replies_do_not_fill_the_headers() -> None:
    found = reply(Query_Backend="streaming", KnownLeader="false", LastContact="0")
    assert (found.streaming, found.known_leader, found.last_contact) == (True, None, None)
    assert found.index == 42


def test_filtered_results_are_told() -> None:
    assert reply(Results_Filtered_By_ACLs="true").filtered_by_acls
    assert not reply(Results_Filtered_By_ACLs="false").filtered_by_acls


def test_no_headers_say_nothing() -> None:
    found = read("a", 200, {}, b"", 0)
    assert (found.index, found.known_leader, found.last_contact) == (None, None, None)
    assert not found.filtered_by_acls


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "0x1", "1_0", "\u0663", "9" * 21, " 1"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert reply(Index=text, LastContact=text).index is None
    assert reply(Index=text, LastContact=text).last_contact is None


def test_a_server_that_never_heard_of_a_leader() -> None:
    assert reply(LastContact="9223372036854").last_contact == 9223372036.854


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000, b"rpc error", b"\x00\x00\x00{", b"[1,]"],
)
def test_what_is_not_json_is_a_consul_error(body: bytes) -> None:
    with pytest.raises(ConsulError, match=r"^10\.0\.0\.11:8600: the reply is not JSON$") as failed:
        reply(body).json()
    assert (failed.value.agent, failed.value.status) == ("10.0.0.11:8600", 0)


def test_json() -> None:
    assert reply(b'[{"Node": null}]').json() == [{"Node": None}]


@given(st.dictionaries(st.sampled_from(HEADERS), st.text()), st.binary())
def test_nothing_else_comes_of_strange_ones(headers: dict[str, str], body: bytes) -> None:
    read("a", 200, headers, body, 0)
    try:
        parse(body)
    except ValueError:
        return


def padded(*texts: str) -> bytes:
    """A list that is large enough to be decoded element by element."""
    return ("[" + ",".join(texts) + ', "' + LARGE * "x" + '"]').encode()


def test_a_large_list_is_decoded_element_by_element(monkeypatch: pytest.MonkeyPatch) -> None:
    body = padded('{"a": [1, {"b": null}]}', "2.5", '"\\u00e4"', "[]")
    whole = json.loads(body)
    monkeypatch.setattr(json, "loads", None)
    assert reply(body=b" \n" + body + b" \r\n").json() == whole


@pytest.mark.parametrize(
    "body",
    [
        padded("1")[:-1], padded("1") + b"]", padded("1,"), padded("1 2"), padded("tru"),
        b"[" + b" " * LARGE, b"[" + b" " * LARGE + b",]", b"\xff" * (LARGE + 1),
        padded("1")[:-1] + b",]",
    ],
)  # fmt: skip
def test_a_large_list_that_is_not_json(body: bytes) -> None:
    with pytest.raises(ConsulError, match="not JSON"):
        reply(body=body).json()


def test_a_large_reply_that_is_no_list() -> None:
    assert reply(body=b"{}" + b" " * LARGE).json() == {}
    assert reply(body=b"[" + b" " * LARGE + b"]").json() == []
