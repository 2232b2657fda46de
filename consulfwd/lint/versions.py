"""What programs on this host say: which version a server is, what its checker thinks of a file.

This is where programs are run. What a version means is for the rules.
"""

from __future__ import annotations

import re
from pathlib import Path

from consulfwd.errors import UsageError
from consulfwd.servers.findings import Finding
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.target import Version


def read_version(text: str) -> Version | None:
    """Return `9.18.49-1+deb12` as numbers: (9, 18, 49); None if it does not begin with one."""
    match = re.match(r"\d{1,6}(?:\.\d{1,6}){0,3}", text)
    return tuple(map(int, match[0].split("."))) if match else None


def installed_version(server: ServerKind) -> Version | None:
    """Return the version of the server installed on this host; None if it cannot be told."""
    # It knows programs, and how to run them; a version that is given takes neither.
    from consulfwd.servers import installed

    try:
        return installed.installed_version(server.target)
    except UsageError:
        return None


def checked_by(server: ServerKind, path: Path, shown: str) -> list[Finding]:
    """Return what the server's own checker says of a file.

    Raises LintError where none can be asked.
    """
    from consulfwd.servers import checking

    return checking.ask_checker(server.target, path, shown)
