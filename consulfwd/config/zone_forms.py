"""What texts in the settings of zones may look like: globs, names of people and places, keys.

Pure, as `forms` is, and for `zones` alone.
"""

from __future__ import annotations

from consulfwd.config.forms import BadValue, domain_name
from consulfwd.config.wording import quoted

_LONGEST = 255
_URL = "such as https://grid.example.com/wapi/v2.11"


def _plain(text: str, what: str, example: str) -> str:
    if not text or len(text) > _LONGEST or not text.isprintable() or text != text.strip():
        raise BadValue(f"{quoted(text)} is not {what}", f"such as {example}")
    return text


def glob(text: str) -> str:
    """Return `text` if it can be a pattern: *, ? and [...] in it, ! before one that takes out."""
    found = _plain(text, "a pattern", "web-* or !web-test")
    if not found.removeprefix("!"):
        raise BadValue(f"{quoted(text)} takes nothing out", "write a pattern after it")
    if _is_open(found):
        raise BadValue(f"{quoted(text)} has a [ without its ]", "write [[] for the letter itself")
    return found


def _is_open(pattern: str) -> bool:
    """Return whether a set of letters is begun and not ended, which would be letters then."""
    at = pattern.find("[")
    while at >= 0:
        # The first letter may be a ] itself, with ! before it or not.
        first = at + 1 + pattern.startswith("!", at + 1)
        end = pattern.find("]", first + 1)
        if end < 0:
            return True
        at = pattern.find("[", end + 1)
    return False


def alias(text: str) -> str:
    """Return a name below the origin; there is no alias at the origin itself."""
    if text in ("", "@", "."):
        raise BadValue(
            f"{quoted(text)} is the zone itself, where an alias cannot be (RFC 1034 section 3.6.2)",
            "name one below it, such as www",
        )
    return domain_name(text)


def word(text: str) -> str:
    """Return `text` if it can be a word of a command."""
    if "\0" in text or len(text) > 4096:
        raise BadValue(f"{quoted(text)} is not a word of a command", "such as rndc")
    return text


def owner_name(text: str) -> str:
    """Return `text` if it is a line of text, as people and programs are called by."""
    return _plain(text, "a name", "consulfwd")


def mail_box(text: str) -> str:
    """Return a mail address as a domain name (RFC 1035 section 8), its dots before the @ escaped.

    One that is written as a domain name already stays as it is.
    """
    box, at, domain = text.partition("@")
    if not at:
        return domain_name(text)
    if not box or not box.isascii() or not box.isprintable() or " " in box:
        raise BadValue(f"{quoted(text)} is not a mail address", "such as hostmaster@example.com")
    return box.replace("\\", "\\\\").replace(".", "\\.") + "." + domain_name(domain)


def https_url(text: str) -> str:
    """Return a URL of HTTPS without its final slash; anything else would show the password."""
    # Imported late: it takes its time, and few have such a URL.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise BadValue(f"{quoted(text)} is not a URL", _URL) from None
    fit = parts.scheme == "https" and parts.hostname and port != 0
    if not fit or parts.username or parts.query or parts.fragment or not text.isprintable():
        raise BadValue(
            f"{quoted(text)} is not a URL of HTTPS alone",
            _URL,
        )
    return text.rstrip("/")


def kv_prefix(text: str) -> str:
    """Return a prefix of Consul's keys, without slashes around it."""
    found = _plain(text, "a key's prefix", "consulfwd/zones/svc.example.com").strip("/")
    if not found or {"", ".", ".."} & set(found.split("/")):
        raise BadValue(f"{quoted(text)} is not a key's prefix", "no empty parts, no . and ..")
    return found
