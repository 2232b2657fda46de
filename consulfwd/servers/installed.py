"""Which version of a server is installed, as the program itself says."""

from __future__ import annotations

from consulfwd.apply import commands
from consulfwd.errors import UsageError
from consulfwd.servers.target import Target, Version, parse_version

TIMEOUT_S = 10.0


def installed_version(target: Target) -> Version | None:
    """Return the version of the program on this host, None where there is none to ask.

    Raises UsageError when what it says cannot be understood.
    """
    if not target.ask_version or commands.find(target.ask_version[0]) is None:
        return None
    ran = commands.run(target.ask_version, timeout_s=TIMEOUT_S)
    if ran.wrong and not ran.output:
        raise UsageError(f"{ran} (name the version with --server-version)")
    return parse_version(target, ran.output)
