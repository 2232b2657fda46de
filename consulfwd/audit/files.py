"""Files that people keep beside an audit: who needs whom, what is ignored and why, what was known.

What belongs here: reading and writing them, with their faults as UsageError. Must not know: Consul,
how a report is shown. YAML is read as the settings are: nothing is constructed, nothing recurses.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from consulfwd.audit.reading import MOST_NAME
from consulfwd.audit.report import Report
from consulfwd.audit.rules import RULES
from consulfwd.audit.site import Need
from consulfwd.config import source
from consulfwd.config.tree import plain
from consulfwd.config.wording import printable
from consulfwd.errors import UsageError

MOST_NEEDS, LARGEST = 100_000, 64 << 20
_FORM = "consulfwd audit 1"


def needs(path: Path) -> tuple[Need, ...]:
    """Return who needs whom by a file: `SERVICE: [SERVICE, ...]` or `SERVICE: SERVICE`."""
    found = []
    for name, said in _mapping(path).items():
        listed = said if isinstance(said, list) else [said]
        for one in listed:
            if isinstance(one, bool) or not isinstance(one, str | int):
                raise _wrong(path, f"{printable(name)}: must be a service, or a list of them")
            found.append(Need(_name(path, name), _name(path, str(one).strip()), "file"))
    if len(found) > MOST_NEEDS:
        raise _wrong(path, f"more than {MOST_NEEDS} dependencies")
    return tuple(sorted(set(found)))


def ignored(path: Path) -> dict[str, str]:
    """Return what is ignored by a file: `ID:SUBJECT: reason`."""
    found = {}
    for key, reason in _mapping(path).items():
        if not isinstance(reason, str) or not reason.strip():
            raise _wrong(path, f"{printable(key)}: say why, as its value")
        found[ignored_key(key, printable(str(path)))] = reason.strip()
    return found


def ignored_key(text: str, where: str = "--ignore") -> str:
    """Return ID:SUBJECT. Raises UsageError where there is no such rule."""
    rule, colon, subject = text.partition(":")
    if not colon or not subject:
        raise UsageError(f"{where}: {printable(text)!r} is not ID:SUBJECT (one-instance:web)")
    if rule not in {one.id for one in RULES}:
        raise UsageError(f"{where}: there is no rule {printable(rule)!r} (see docs/audit.md)")
    return text


def baseline(path: Path) -> list[str]:
    """Return the findings (ID:SUBJECT) that an earlier report had."""
    try:
        with path.open("rb") as file:
            parsed = json.loads(file.read(LARGEST).decode())
    except OSError as error:
        raise _wrong(path, _reason(error)) from None
    except (ValueError, RecursionError):
        raise _wrong(path, "is no baseline: write one with --write-baseline") from None
    listed = parsed.get("findings") if isinstance(parsed, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise _wrong(path, "is no baseline: write one with --write-baseline")
    return listed


def write_baseline(path: Path, report: Report) -> None:
    """Write the findings of a report down, for later ones to be held against."""
    keys = sorted(one.key for one in report.findings)
    write(path, json.dumps({"form": _FORM, "findings": keys}, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads it meanwhile has the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            # Such as /dev/stdout.
            path.write_text(text, encoding="utf-8")
            return
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _wrong(path, f"cannot be written: {_reason(error)}") from None


def _mapping(path: Path) -> dict[str, object]:
    read = source.read(path, 0)
    if read.found:
        one = read.found[0]
        mend = f" ({one.mend})" if one.mend else ""
        raise UsageError(f"{one.place.text}: {one.what}{mend}")
    found = plain(read.root)
    if not isinstance(found, dict):
        raise _wrong(path, "must hold lines NAME: VALUE")
    return found


def _name(path: Path, name: str) -> str:
    if not name or len(name) > MOST_NAME:
        raise _wrong(path, f"{printable(name)[:60]!r} is the name of no service")
    return name


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def _wrong(path: Path, what: str) -> UsageError:
    return UsageError(f"{printable(str(path))}: {what}")
