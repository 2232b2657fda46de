"""Somebody who looks on while queries are answered."""

from __future__ import annotations

import json
from collections.abc import Callable

from consulfwd.net.noting import Noted
from consulfwd.ops.querylog.lines import as_json, fields

Put = Callable[[bytes], None]


class Tail:
    """Puts a line of JSON for each note, and one for those there was no room for: `dropped`.

    `dropped` returns how many these are in all.
    """

    fault = ""

    def __init__(self, put: Put, dropped: Callable[[], int]) -> None:
        self._put = put
        self._dropped = dropped
        self._told = 0

    def ready(self) -> bool:
        """Return that notes are taken at any time."""
        return True

    def write(self, notes: list[Noted]) -> int:
        """Put lines: whoever takes them does not wait."""
        for one in notes:
            self._put(as_json(fields(one)).encode())
        if (dropped := self._dropped()) != self._told:
            self._put(json.dumps({"dropped": dropped - self._told}).encode())
            self._told = dropped
        return 0

    def close(self) -> None:
        """Nothing is held."""
