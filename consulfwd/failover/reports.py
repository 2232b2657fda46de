"""What checkers write for each other: their words, and what people forced, as JSON, read strictly.

Must not know: where it is kept. Pure: the time of day is passed in.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any, NamedTuple

from consulfwd.errors import ApplyError
from consulfwd.failover.model import IP, LONGEST_REASON, Force
from consulfwd.failover.remembered import (
    MOST_ADDRESSES,
    MOST_RECORDS,
    read_forces,
    write_forces,
)
from consulfwd.failover.verdict import Report, Vote
from consulfwd.zones.strict import Node, read

FORMAT = 1
# Those of all checkers are read at once, between two queries that are answered.
LARGEST = 240_000
MOST_CHECKERS = 31
_STATES: dict[bool | None, str] = {True: "up", False: "down", None: "unknown"}
_UPS = {word: up for up, word in _STATES.items()}


class Words(NamedTuple):
    """What a checker says: the process that wrote it, when (time of day), and of what."""

    process: str
    at: float
    report: Report


def write(words: Words) -> bytes:
    """Return words as JSON, LARGEST octets at most: reasons are what is left out first."""
    text = _written(words, LONGEST_REASON)
    return text if len(text) <= LARGEST else _written(words, 0)


def load(text: bytes, document: str) -> Words:
    """Return what a checker wrote. Raises ApplyError, which names `document`."""
    root = _root(text, document)
    records = root["records"]
    report = {name: _read_record(records[name]) for name in records.keys(MOST_RECORDS)}
    return Words(root["process"].line(100), root["at"].number(0, 1e12), report)


def write_forced(forces: tuple[Force, ...]) -> bytes:
    """Return what is forced as JSON."""
    return json.dumps({"format": FORMAT, "forces": write_forces(forces)}).encode()


def load_forced(text: bytes, document: str) -> tuple[Force, ...]:
    """Return what is forced. Raises ApplyError, which names `document`."""
    return read_forces(_root(text, document)["forces"])


def is_shareable(forces: tuple[Force, ...]) -> bool:
    """Whether forces can be read back by others."""
    try:
        return load_forced(write_forced(forces), "") == forces
    except ApplyError:
        return False


def _root(text: bytes, document: str) -> Node:
    root = read(text, document, LARGEST)
    if root["format"].integer(0, 1_000_000) != FORMAT:
        root["format"].wrong("another version of this program has written it")
    return root


def _written(words: Words, longest: int) -> bytes:
    found: dict[str, Any] = {
        "format": FORMAT,
        "process": words.process,
        "at": words.at,
        "records": {
            name: {
                str(ip): [_STATES[one.up], one.in_a_row, one.why[:longest]]
                for ip, one in votes.items()
            }
            for name, votes in words.report.items()
        },
    }
    return json.dumps(found, separators=(",", ":")).encode()


def _read_record(node: Node) -> dict[IP, Vote]:
    found = {}
    for written in node.keys(MOST_ADDRESSES):
        try:
            ip = ip_address(written)
        except ValueError:
            node.wrong(f"{written[:60]!a} is not an address")
        parts = node[written].items(3)
        if len(parts) != 3:
            node[written].wrong("it must have 3 parts")
        state, in_a_row, why = parts
        if state.line() not in _UPS:
            state.wrong(f"it must be one of {', '.join(_UPS)}")
        found[ip] = Vote(_UPS[state.line()], in_a_row.integer(0, 10_000), why.line(LONGEST_REASON))
    return found
