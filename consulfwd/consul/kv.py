"""One key of Consul's KV store: read for sure, and written only where it still is as it was known.

What belongs here: the forms of requests and replies. Must not know: what is written, or why. Each
function raises ConsulError; those that write UnknownOutcome, which is one, where it is not known
whether that took effect: whoever wants to know reads the key again.

https://developer.hashicorp.com/consul/api-docs/kv
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote

from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError

TIMEOUT = 5.0
# Of a value and what is around it, in base64.
LIMIT = 1 << 20


class Connection(Protocol):
    """What of a `client.Client` is needed to read and write."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int,
        absent: bool,
    ) -> Reply:
        """Return the reply to GET."""

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        """Return the reply to PUT."""

    async def delete(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        """Return the reply to DELETE."""


class Entry(NamedTuple):
    """What a key holds, and the session that has it as a lock ("" is nobody).

    `modify_index` is another after each write, `lock_index` one more after each time it was
    acquired.
    """

    value: bytes
    flags: int
    session: str
    modify_index: int
    lock_index: int


class Seen(NamedTuple):
    """An entry, None where there is none, and `at` which index, to wait with for another."""

    entry: Entry | None
    at: int


class Below(NamedTuple):
    """The entries below a prefix, by what their keys are beyond it, and `at` which index."""

    entries: Mapping[str, Entry]
    at: int


async def read(connection: Connection, key: str, *, index: int = 0, wait: float = 0.0) -> Seen:
    """Return what the leader knows of a key; with an `index` once that changes, or after `wait` s.

    An index that is no longer of use comes back as 0.
    """
    reply, at = await _get(connection, key, {}, index, wait)
    try:
        found = _entries(reply.json())
        if len(found) > 1:
            raise ValueError("the reply is not an entry")
    except ValueError as error:
        raise ConsulError(reply.agent, 0, f"key {key}: {error}") from None
    return Seen(next(iter(found.values()), None), at)


async def read_below(
    connection: Connection,
    prefix: str,
    *,
    index: int = 0,
    wait: float = 0.0,
    limit: int = LIMIT,
    stale: bool = False,
) -> Below:
    """Return what the leader knows of all keys that begin with a prefix, as `read` does.

    That others have changed may end the wait, too: compare. `stale` asks whichever server there is,
    which spares the leader, and may be behind: for those who see by themselves how old values are.
    `limit` is in octets of a reply.
    """
    more = {"recurse": ""}
    reply, at = await _get(connection, prefix, more, index, wait, limit=limit, stale=stale)
    try:
        found = _entries(reply.json())
        if not all(key.startswith(prefix) for key in found):
            raise ValueError("the reply has other keys")
    except ValueError as error:
        raise ConsulError(reply.agent, 0, f"keys {prefix}: {error}") from None
    return Below({key[len(prefix) :]: entry for key, entry in found.items()}, at)


async def _get(
    connection: Connection,
    key: str,
    more: Mapping[str, str],
    index: int,
    wait: float,
    *,
    limit: int = LIMIT,
    stale: bool = False,
) -> tuple[Reply, int]:
    params = {"stale" if stale else "consistent": "", **more}
    timeout = TIMEOUT
    if index:
        params |= {"index": str(index), "wait": f"{max(wait, 0.001) * 1000:.0f}ms"}
        timeout += wait * 17 / 16
    reply = await connection.get(
        _path(key), params, timeout=timeout, limit=limit, absent=True
    )
    now = max(reply.index or 0, 1)
    return reply, now if now >= index else 0


async def write(
    connection: Connection, key: str, value: bytes, *, cas: int | None = None, flags: int = 0
) -> bool:
    """Write a value; with `cas` only where the key's `modify_index` is that, or with 0 where there
    is no such key. Return whether it was written.
    """
    params = {} if cas is None else {"cas": str(cas)}
    return await _put(connection, key, value, flags, params)


async def remove(connection: Connection, key: str, *, cas: int | None = None) -> bool:
    """Remove a key, with `cas` only where its `modify_index` is that; return whether it was so."""
    params = {} if cas is None else {"cas": str(cas)}
    return _truth(key, await connection.delete(_path(key), params, timeout=TIMEOUT))


async def acquire(
    connection: Connection, key: str, session: str, value: bytes, flags: int
) -> bool:
    """Have a session hold a key; return whether it does: nobody else did, nor shall not yet."""
    return await _put(connection, key, value, flags, {"acquire": session})


async def release(
    connection: Connection, key: str, session: str, value: bytes, flags: int
) -> bool:
    """Have a session hold a key no more; return whether it did."""
    return await _put(connection, key, value, flags, {"release": session})


async def _put(
    connection: Connection, key: str, value: bytes, flags: int, params: Mapping[str, str]
) -> bool:
    params = {**params, **({"flags": str(flags)} if flags else {})}
    return _truth(key, await connection.put(_path(key), params, body=value, timeout=TIMEOUT))


def _path(key: str) -> str:
    """Return the path of a key. Raises ValueError where it would lead to another one."""
    if not key or key.startswith("/") or {".", ".."} & set(key.split("/")):
        raise ValueError(f"{key!r} is not a key")
    return f"/v1/kv/{quote(key, safe='/')}"


def _truth(key: str, reply: Reply) -> bool:
    parsed = reply.json()
    if not isinstance(parsed, bool):
        raise ConsulError(reply.agent, 0, f"key {key}: the reply is neither true nor false")
    return parsed


def _entries(parsed: object) -> dict[str, Entry]:
    """Return entries by their keys. Raises ValueError."""
    if parsed is None:
        return {}
    if not isinstance(parsed, list) or not parsed:
        raise ValueError("the reply is not an entry")
    found = {}
    for fields in parsed:
        key, entry = _entry(fields)
        found[key] = entry
    return found


def _entry(fields: object) -> tuple[str, Entry]:
    if not isinstance(fields, dict):
        raise ValueError("the reply is not an entry")
    key, value, session = fields.get("Key"), fields.get("Value"), fields.get("Session", "")
    numbers = [fields.get(name) for name in ("Flags", "ModifyIndex", "LockIndex")]
    if not isinstance(key, str) or not isinstance(session, str):
        raise ValueError("the reply is not an entry")
    if not all(type(one) is int and one >= 0 for one in numbers):
        raise ValueError("the reply is not an entry")
    try:
        data = base64.b64decode("" if value is None else value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError("the value is not in base64") from None
    flags, modify_index, lock_index = (int(one or 0) for one in numbers)
    return key, Entry(data, flags, session, modify_index, lock_index)
