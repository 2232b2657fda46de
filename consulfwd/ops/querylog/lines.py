"""What is noted of a query, as a line: for people, or as JSON.

Names, and whatever else strangers wrote, are escaped so that a line stays a line. Pure.
"""

from __future__ import annotations

import json
import struct
import time
from functools import lru_cache
from typing import Any

from consulfwd.config.wording import printable
from consulfwd.dns import const
from consulfwd.dns.edns import read_ede
from consulfwd.dns.names import to_text
from consulfwd.dns.wire import edns_echo, question_echo
from consulfwd.net.noting import Noted

# A query over TCP may be long: the question is at its beginning, and what follows is not looked at.
BEGINNING = 272
_NONE = ("", "", const.IN)
_CLASSES = {3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}


def fields(noted: Noted) -> dict[str, Any]:
    """Return what is noted, as JSON has it.

    | field | |
    |---|---|
    | `time` | when it was asked (RFC 3339, UTC) |
    | `name`, `type` | what was asked; both "" where that cannot be read |
    | `class` | only where it is not IN |
    | `client`, `port`, `transport` | who asked, and how |
    | `rcode` | what the reply says |
    | `from` | where the answer is from: hot, cache, stale, agent, recursor, here, nobody |
    | `server` | whose answer it is, "" where that is nobody's or not known |
    | `ms`, `octets` | how long it took, how long the reply is |
    | `ede`, `ede_text` | only where there is an extended error (RFC 8914) |
    """
    name, kind, group = _question(noted.data[2:BEGINNING])
    made: dict[str, Any] = {"time": _time(noted.asked_at), "name": name, "type": kind}
    if group != const.IN:
        made["class"] = _CLASSES.get(group, f"CLASS{group}")
    reply = noted.reply
    rcode, ede = (reply[3] & const.RCODE_MASK if len(reply) > 3 else const.SERVFAIL), noted.ede
    if noted.kind == "here":
        edns = edns_echo(reply)
        if edns is not None:
            rcode |= edns.extended_rcode << 4
            ede = ede or read_ede(edns)
    made |= {
        "client": noted.client[0],
        "port": noted.client[1],
        "transport": noted.transport,
        "rcode": const.rcode_text(rcode),
        "from": noted.kind,
        "server": noted.server,
        "ms": round(noted.took * 1000, 3),
        "octets": len(reply),
    }
    if ede is not None:
        made |= {"ede": ede[0], "ede_text": ede[1]}
    return made


def as_text(seen: dict[str, Any]) -> str:
    """Return fields as one line for people, without the time."""
    who = f"from {seen['client']} over {seen['transport']}"
    return printable(f"{asked(seen)} {who}: {became(seen)}")


def asked(seen: dict[str, Any]) -> str:
    """Return what was asked."""
    what = f"{seen['name']} {seen['type']}" if seen["name"] else "what is no question"
    if "class" in seen:
        what += f" ({seen['class']})"
    return what


def became(seen: dict[str, Any]) -> str:
    """Return what became of it."""
    where, server = seen["from"], seen["server"]
    if server:
        where += f" {server}" if where in ("agent", "recursor") else f" of {server}"
    line = f"{seen['rcode']}, {where}, {seen['ms']:.1f} ms, {seen['octets']} octets"
    if "ede" in seen:
        line += f", EDE {seen['ede']} ({seen['ede_text']})"
    return printable(line)


def as_json(seen: dict[str, Any]) -> str:
    """Return fields as one JSON object on one line, in ASCII."""
    return json.dumps(seen, separators=(",", ":"))


@lru_cache(4096)
def _question(data: bytes) -> tuple[str, str, int]:
    """Return name, type and class of a query, here without its ID; both "" if it has none."""
    question = question_echo(b"\0\0" + data)
    if not question:
        return _NONE
    number, group = struct.unpack("!HH", question[-4:])
    return to_text(question[:-4].lower()), const.type_text(number), group


def _time(at: float) -> str:
    seconds, millis = divmod(int(at * 1000), 1000)
    return f"{_second(seconds)}.{millis:03}Z"


@lru_cache(16)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
