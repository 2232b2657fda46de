"""What a resolver has in its cache, told, and taken out of it.

What belongs here is finding entries by names. Nothing that is kept under a name that was flushed
is given any more, be it an answer, a failure or an alias that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from consulfwd.core.cache import LARGE, Entry
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.dns.names import ROOT, to_text
from consulfwd.dns.text import to_record
from consulfwd.errors import WireError
from consulfwd.net.resolver import Engine

# Records of an answer that are told, and how many characters of each.
RECORDS, LONGEST = 3, 120
_DO, _CD = 1, 2

Match = Callable[[bytes], bool]


def matching(name: bytes | None, *, subtree: bool) -> Match:
    """Return what tells whether a question, by its key, is about a name, or one at or under it.

    None is any name. Keys begin with the name, which ends as only a name does.
    """
    if name is None or (subtree and name == ROOT):
        return lambda key: True
    if not subtree:
        return lambda key: key.startswith(name)
    # Few have it in them at all: only those are looked at label by label.
    return lambda key: name in key and _is_under(key, name)


def _is_under(key: bytes, zone: bytes) -> bool:
    at = 0
    while not key.startswith(zone, at):
        if not key[at]:
            return False
        at += 1 + key[at]
    return True


def _name_ends(key: bytes) -> int:
    at = 0
    while length := key[at]:
        at += 1 + length
    return at + 1


def flush(engine: Engine, name: bytes, *, subtree: bool) -> int:
    """Forget what is known of a name, or of all at and under it; return how many entries that was.
    """
    match = matching(name, subtree=subtree)
    keys = [key for key in engine.cache.entries if match(key)]
    for key in keys:
        engine.cache.drop(key)
    answers = engine.table.answers
    for key in [one for one in answers.failures if match(one)]:
        answers.failures.forget(key)
    for ask in engine.asks.values():
        if match(ask.key):
            ask.led = None
            ask.kept_until = 0.0
    # Most of what is there as bytes is not noted with its entry.
    engine.warmth.clear()
    # What is on its way may be from before whatever it was that led to this.
    answers.leapt_at = engine.clock.now()
    return len(keys)


def entries(
    engine: Engine, name: bytes | None, *, subtree: bool, limit: int
) -> tuple[Callable[[], list[dict[str, Any]]], int]:
    """Return what tells what is in the cache of a name, or of all (None), what was used last first;
    and how many there are in all, of which at most `limit` are told.

    To tell a thousand takes as long as to answer a thousand queries: any thread may do that.
    """
    match = matching(name, subtree=subtree)
    kept = engine.cache.entries
    keys: Iterable[bytes] = reversed(kept)
    count = len(kept)
    if name is not None:
        keys = [key for key in keys if match(key)]
        count = len(keys)
    now = engine.clock.now()
    found = [(key, kept[key]) for key in islice(keys, limit)]
    return lambda: [tell(key, entry, now) for key, entry in found], count


def tell(key: bytes, entry: Entry, now: float) -> dict[str, Any]:
    """Return an entry as JSON has it: `ttl` and `stale_ttl` are what is left, in seconds."""
    end = _name_ends(key)
    fresh = entry.expires_at > now
    state = "fresh" if fresh else "stale"
    if fresh and entry.watched and entry.until <= now:
        # Past its TTL, but it is known that nothing has changed.
        state = "watched"
    return {
        "name": to_text(key[:end]),
        "type": const.type_text(int.from_bytes(key[end : end + 2], "big")),
        "flags": [flag for bit, flag in ((_DO, "do"), (_CD, "cd")) if key[end + 4] & bit],
        "what": what(entry.message, key[: end + 4]),
        "state": state,
        "watched": entry.watched,
        "age": round(max(now - entry.stored_at, 0.0), 3),
        "ttl": round(max(entry.expires_at - now, 0.0), 3),
        "stale_ttl": round(max(entry.gone_at - now, 0.0), 3),
        "from": entry.source,
        "size": len(entry.message.body),
    }


def what(message: Message, question: bytes) -> str:
    """Return what a message says, in a few words."""
    if message.rcode != const.NOERROR:
        return const.rcode_text(message.rcode)
    if not message.answers:
        return "no such data"
    if len(message.body) > LARGE:
        # To read thousands of records takes as long as to answer thousands of queries.
        return f"{message.answers} records"
    told = list(_records(message, question, RECORDS))
    more = message.answers - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _records(message: Message, question: bytes, most: int) -> Iterator[str]:
    qtype = const.type_text(int.from_bytes(question[-4:-2], "big"))
    try:
        for record in message.sections(question)[0][:most]:
            found = to_record(record)
            data = found.data if len(found.data) <= LONGEST else f"{found.data[:LONGEST]}..."
            yield data if found.type == qtype else f"{found.type} {data}"
    except WireError:
        yield f"{message.answers} records"
