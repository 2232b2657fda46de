"""TSIG keys (RFC 8945), from files: a secret alone, or a key as BIND's configuration has it.

What belongs here: reading them. A secret is in no message and no text of an object.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

import dns.name
import dns.tsig

from consulfwd.config.credentials import located
from consulfwd.dns import names
from consulfwd.errors import ApplyError, WireError

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
_LARGEST = 65_536
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|#[^\n]*", re.DOTALL)
_CLAUSE = re.compile(r'\s*key\s+("?)([^\s";{}]+)\1\s*\{([^{}]*)\}\s*;?\s*', re.IGNORECASE)
_STATEMENT = re.compile(r'\s*(algorithm|secret)\s+("?)([^\s";]+)\2\s*', re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_MEND = (
    "write the secret in base64 and nothing else, or what tsig-keygen prints:"
    ' key "NAME" { algorithm hmac-sha256; secret "..."; };'
)


def read_key(
    name: str | None, file: Path | None, algorithm: str, environ: Mapping[str, str]
) -> dns.tsig.Key | None:
    """Return the key that settings point at, None if they name none. Raises ApplyError.

    What a key of BIND's says of its algorithm counts for more than `algorithm`. `environ` says
    where credentials are.
    """
    if file is None:
        if name is None:
            return None
        raise ApplyError(f"key {name}", "has no secret", "name the file that holds it: `key_file`")
    try:
        path = located(file, environ)
        with path.open("rb") as opened:
            text = opened.read(_LARGEST + 1).decode("ascii")
    except UnicodeDecodeError:
        raise ApplyError(str(file), "holds no key", _MEND) from None
    except ValueError as error:
        raise ApplyError(str(file), str(error)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ApplyError(str(path), f"cannot be read: {reason}", "let this user read it") from None
    plain = _COMMENT.sub(" ", text)
    found = _CLAUSE.fullmatch(plain)
    if found is None:
        if name is None:
            raise ApplyError(str(path), "holds a secret without a name", "name it: `key_name`")
        return _key(path, name, algorithm, text)
    said = {one[1].lower(): one[3] for one in _statements(path, found[3])}
    if name is not None and _folded(path, name) != _folded(path, found[2]):
        what = f"holds the key {found[2]}, and `key_name` is {name}"
        raise ApplyError(str(path), what, "name the one that the server knows")
    return _key(path, found[2], said.get("algorithm", ""), said.get("secret", ""))


def _statements(path: Path, text: str) -> list[re.Match[str]]:
    found = [_STATEMENT.fullmatch(one) for one in text.split(";") if one.strip()]
    whole = [one for one in found if one is not None]
    if len(whole) != len(found) or sorted(one[1].lower() for one in whole) != [
        "algorithm", "secret",
    ]:  # fmt: skip
        raise ApplyError(str(path), "holds a key that is not an algorithm and a secret", _MEND)
    return whole


def _key(path: Path, name: str, algorithm: str, secret: str) -> dns.tsig.Key:
    algorithm = algorithm.lower().removesuffix(".")
    if algorithm not in ALGORITHMS:
        what = f"holds a key for {algorithm[:40]!r}"
        raise ApplyError(str(path), what, f"make one for one of {', '.join(ALGORITHMS)}")
    # The secret, or whatever is there instead, must not get into a message.
    if not _BASE64.fullmatch(secret):
        raise ApplyError(str(path), "holds no key", _MEND)
    try:
        octets = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ApplyError(str(path), "holds no key: its secret is no base64", _MEND) from None
    if not octets:
        raise ApplyError(str(path), "holds no key", _MEND)
    return dns.tsig.Key(dns.name.from_wire(_folded(path, name), 0)[0], octets, algorithm)


def _folded(path: Path, name: str) -> bytes:
    try:
        return names.from_text(name.lower())
    except WireError as error:
        raise ApplyError(str(path), f"the key's name cannot be one: {error}") from None
