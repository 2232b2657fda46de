"""A reply of Consul's HTTP API: its headers as numbers, its body as bytes.

What belongs here: reading what any stranger may have sent. Must not know: how a reply was got.
Pure: no clock, no socket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consulfwd.errors import ConsulError

# Consul's indexes are unsigned, of 64 bits.
_DIGITS = 20
# More octets than this take longer to decode at once than a query is to wait.
LARGE = 1 << 17
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of status 200, or 404 where that says that there is nothing.

    `index` is that of a blocking query, None when there is none. `known_leader` and `last_contact`
    (seconds since the server behind the agent heard of its leader) are None when the reply does
    not say, which includes streaming ones: they have the headers without filling them. `took` is
    in seconds. `mute` says that nothing would be said of what ACLs hide: Consul before 1.10.
    https://developer.hashicorp.com/consul/api-docs/features/blocking
    """

    agent: str
    status: int
    index: int | None
    known_leader: bool | None
    last_contact: float | None
    streaming: bool
    filtered_by_acls: bool
    body: bytes
    took: float
    mute: bool = False

    def json(self) -> Any:
        """Return the body decoded. Raises ConsulError."""
        try:
            return parse(self.body)
        except ValueError as error:
            raise ConsulError(self.agent, 0, str(error)) from None

    def elements(self) -> Iterator[Any]:
        """Yield what is in a body that is a list, decoded one by one: there may be very much.

        Raises ValueError where it is none.
        """
        try:
            yield from _elements(self.body.decode())
        except (ValueError, RecursionError):
            raise ValueError("the reply is not a list of JSON") from None


def read(agent: str, status: int, headers: Mapping[str, str], body: bytes, took: float) -> Reply:
    """Return the reply made of these headers, whose names are in any case."""
    headers = {name.lower(): value for name, value in headers.items()}
    backend = headers.get("x-consul-query-backend")
    streaming = backend == "streaming"
    leader = headers.get("x-consul-knownleader")
    contact_ms = _number(headers.get("x-consul-lastcontact"))
    return Reply(
        agent,
        status,
        _number(headers.get("x-consul-index")),
        None if streaming or leader not in ("true", "false") else leader == "true",
        None if streaming or contact_ms is None else contact_ms / 1000,
        streaming,
        headers.get("x-consul-results-filtered-by-acls") == "true",
        body,
        took,
        mute=backend is None,
    )


def parse(body: bytes) -> Any:
    """Return JSON decoded. Raises ValueError for whatever is wrong with it."""
    try:
        return _list_of(body.decode()) if len(body) > LARGE else json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the reply is not JSON") from None


def _list_of(text: str) -> Any:
    """Return JSON decoded, a list element by element: no other thread waits for the whole of it."""
    at = _end_of_space(text, 0)
    return list(_elements(text)) if text[at : at + 1] == "[" else json.loads(text)


def _elements(text: str) -> Iterator[Any]:
    at = _end_of_space(text, 0)
    if text[at : at + 1] != "[":
        raise ValueError("no list")
    at = _end_of_space(text, at + 1)
    while text[at : at + 1] != "]":
        element, at = _DECODER.raw_decode(text, at)
        yield element
        at = _end_of_space(text, at)
        if text[at : at + 1] == ",":
            at = _end_of_space(text, at + 1)
            if text[at : at + 1] == "]":
                raise ValueError("a comma, and nothing behind it")
        elif text[at : at + 1] != "]":
            raise ValueError("neither a comma nor the end")
    if _end_of_space(text, at + 1) != len(text):
        raise ValueError("something behind the end")


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > _DIGITS:
        return None
    return int(text)
