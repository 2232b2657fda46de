"""A name as people type it, and which question they mean by it. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from consulfwd.errors import UsageError


def question(name: str, rtype: str) -> tuple[str, str]:
    """Return the name and the type that are meant: an address asks for its PTR.

    Raises UsageError for what is no name.
    """
    if not name:
        raise UsageError("NAME is empty (the root is written as a dot)")
    try:
        # An interface behind the address (fe80::1%eth0) is no part of its name.
        pointer = ip_address(name.partition("%")[0]).reverse_pointer
    except ValueError:
        if not name.isascii():
            name = _to_ascii(name)
        first = name.split(".", 1)[0]
        return name, rtype or ("SRV" if first.startswith("_") else "A")
    return (pointer, "PTR") if not rtype or rtype.upper() == "PTR" else (name, rtype)


def _to_ascii(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UsageError(f"the name {name!r} cannot be written in ASCII (IDNA): {error}") from None
