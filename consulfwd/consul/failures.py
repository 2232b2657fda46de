"""How a request over HTTP failed, in plain words: without Python's names.

Must not know: what was asked, or of whom.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

from consulfwd.errors import ConsulError

_TOLD = 200
# What Consul says of a token it does not have (any more), wherever in the text.
_UNKNOWN = "acl not found"
# And of what it was not set up for, with the status of a token that is refused.
_UNSUPPORTED = "support disabled"


def told(body: bytes) -> str:
    """Return the text of an error reply, fit for a log line."""
    text = body[:_TOLD].decode("ascii", "replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()


def unknown_token(error: ConsulError) -> bool:
    """Return whether an agent refused a token as such, and not just what was asked with it."""
    why = error.reason.lower()
    if error.status == 401:
        return _UNSUPPORTED not in why
    return error.status == 403 and _UNKNOWN in why


def plain(error: Exception) -> str:
    """Return what went wrong, without Python's names."""
    for each in _chain(error):
        if alert := _alert(each):
            return alert
    for each in _chain(error):
        # aiohttp's error of that kind says so without it.
        if message := getattr(each, "verify_message", ""):
            return f"certificate refused: {message}"
        if isinstance(each, ssl.SSLError) and not isinstance(each, ssl.SSLCertVerificationError):
            return "no TLS there"
    if any(isinstance(each, socket.gaierror) for each in _chain(error)):
        # Nothing is looked up of an address but the number of its interface.
        return "its interface is not there"
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno:
            return reason(each)
    if any(isinstance(each, ConnectionResetError) for each in _chain(error)):
        # That of TLS has no number.
        return os.strerror(errno.ECONNRESET).lower()
    return str(error) or type(error).__name__


def _alert(error: BaseException) -> str:
    """Return what the other side said when it ended TLS (RFC 8446 section 6), or nothing."""
    _, alert, said = str(getattr(error, "reason", "")).partition("ALERT_")
    if not alert or not isinstance(error, ssl.SSLError):
        return ""
    said = said.replace("_", " ").lower()
    about_us = said.endswith(("certificate", "certificate required", "unknown ca"))
    return f"TLS refused there: {said}{' (cert_file is what it is shown)' if about_us else ''}"


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = [error]
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    for each in (inner, error.__cause__, error.__context__):
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
    return found


def reason(error: OSError) -> str:
    """Return what the system says of an error."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
