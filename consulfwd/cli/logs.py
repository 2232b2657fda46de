"""Log lines for people (text) and machines (one JSON object a line), on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time

from consulfwd.config import Loaded


class TextFormatter(logging.Formatter):
    """`time level message`; the service manager adds host and process."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(level: str, form: str) -> None:
    """Send the log to stderr at `level` (debug ... error) in `form` (text or json)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # asyncio's own messages repeat what is logged here already.
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))


def use(loaded: Loaded) -> None:
    """Log as the settings say, and log what in them is hardly meant."""
    set_up(loaded.settings.log.level, loaded.settings.log.format)
    for warning in loaded.warnings:
        logging.getLogger("consulfwd").warning("%s", warning)
