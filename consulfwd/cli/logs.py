"""Log lines for people (text) and machines (one JSON object a line), on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from consulfwd.cli.streams import is_journal, marked
from consulfwd.config import Loaded
from consulfwd.config.wording import printable


class TextFormatter(logging.Formatter):
    """`time level message`; the service manager adds host and process.

    What strangers wrote may be in it: nothing but line breaks reaches a terminal that would not
    show there.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


class JournalText(TextFormatter):
    """`level message`, for the journal, which adds its own time."""

    def __init__(self) -> None:
        logging.Formatter.__init__(self, "%(levelname)s %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # What a line about a query holds, each by itself.
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        text = json.dumps(entry, ensure_ascii=False)
        # Of what does not show some ends a line to some who read lines.
        return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class Marked(logging.Formatter):
    """What another formatter makes, each line with its priority: as the journal takes it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as the other one does, marked."""
        return marked(self._inner.format(record), record.levelno)


def set_up(level: str, form: str) -> None:
    """Send the log to stderr at `level` (debug ... error) in `form` (text or json).

    Where stderr is the journal, lines have their priority, and text no time of its own.
    """
    handler = logging.StreamHandler(sys.stderr)
    journal = is_journal(sys.stderr, os.environ)
    text = JournalText() if journal else TextFormatter()
    formatter = JsonFormatter() if form == "json" else text
    handler.setFormatter(Marked(formatter) if journal else formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # asyncio's own messages repeat what is logged here already.
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))


def use(loaded: Loaded, form: str | None = None) -> None:
    """Log as the settings say, or in this form, and log what in them is hardly meant."""
    set_up(loaded.settings.log.level, form or loaded.settings.log.format)
    for warning in loaded.warnings:
        logging.getLogger("consulfwd").warning("%s", warning)
