"""`consulfwd status --watch`: what is shown each time that processes were asked again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from consulfwd.cli import asking, streams
from consulfwd.cli.asking import Look
from consulfwd.cli.screen import Screen
from consulfwd.ops.text.changed import changed_lines
from consulfwd.ops.text.status import lines

if TYPE_CHECKING:
    from consulfwd.ops.snapshot import Snapshot
    from consulfwd.ops.text.lines import Line


class View(Protocol):
    """Shows what was found, again and again."""

    def show(self, found: Sequence[Look]) -> None:
        """Show what was found now."""


class Objects:
    """A JSON object a line for each process."""

    def show(self, found: Sequence[Look]) -> None:
        """Print them."""
        for one in found:
            click.echo(json.dumps(one.as_json()))


class Drawn:
    """All of it on a screen, with what is counted in a second."""

    def __init__(self, screen: Screen, whole: bool) -> None:
        self._screen = screen
        self._whole = whole
        # The last picture, and the one before that was another.
        self._last: dict[Path, Snapshot] = {}
        self._before: dict[Path, Snapshot] = {}

    def show(self, found: Sequence[Look]) -> None:
        """Draw it."""
        drawn: list[Line] = []
        for one in found:
            drawn += [("plain", "")] if drawn else []
            if one.read is None:
                drawn.append(("bad", one.fault))
                continue
            self._note(one.path, one.read.snapshot)
            drawn += lines(one.read, self._before.get(one.path), whole=self._whole)
        foot = f"{time.strftime('%H:%M:%S')}, drawn anew each second; Ctrl-C ends it"
        shown = asking.shown([*drawn, ("dim", foot)])
        if streams.is_plain(os.environ):
            shown = [click.unstyle(one) for one in shown]
        self._screen.show(shown[:-1], shown[-1])

    def _note(self, path: Path, now: Snapshot) -> None:
        last = self._last.get(path)
        # Who is asked twice in a second may say the same twice.
        if last is not None and last.taken != now.taken:
            self._before[path] = last
        self._last[path] = now


class Lines:
    """A line for what has changed."""

    def __init__(self) -> None:
        self._last: dict[Path, Snapshot] = {}
        self._faults: dict[Path, str] = {}

    def show(self, found: Sequence[Look]) -> None:
        """Print what has changed since the last time."""
        at = time.strftime("%H:%M:%S")
        told = [line for one in found for line in self._changed(one)]
        if told:
            asking.echo((mood, f"{at} {text}") for mood, text in told)

    def _changed(self, one: Look) -> list[Line]:
        if one.read is None:
            self._last.pop(one.path, None)
            known, self._faults[one.path] = self._faults.get(one.path), one.fault
            return [("bad", one.fault)] if known != one.fault else []
        self._faults.pop(one.path, None)
        now = one.read.snapshot
        last, self._last[one.path] = self._last.get(one.path), now
        return list(changed_lines(now, last))
