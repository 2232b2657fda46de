"""The file with the secrets that DNS cookies are made by (`cookies.secret_file`).

A line for each, 32 hexadecimal digits, as NSD and Unbound have it; `#` begins a comment. By the
first cookies are made, all are taken: so a site's secret is replaced without anybody losing his.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_IROTH

from consulfwd.config.credentials import located, why_unreadable
from consulfwd.errors import StartError

MAX_SECRETS, MAX_SIZE = 4, 4096
_SECRET = re.compile(r"[0-9A-Fa-f]{32}")
MEND = "write a line of 32 hexadecimal digits, as `openssl rand -hex 16` makes one"


def read_secrets(file: Path | None, environ: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
    """Return the secrets of a file, 16 octets each, none where no file is named.

    Raises StartError when it cannot be used. Nothing of what is in it is told.
    """
    if file is None:
        return ()
    try:
        with located(file, environ).open("rb") as opened:
            found = parse_secrets(opened.read(MAX_SIZE + 1))
    except OSError as error:
        raise StartError(f"cookies.secret_file: {file}: {error.strerror}") from None
    except ValueError as error:
        raise StartError(f"cookies.secret_file: {error}") from None
    return found


def parse_secrets(content: bytes) -> tuple[bytes, ...]:
    """Return the secrets in a file's content. Raises ValueError where they are not."""
    if len(content) > MAX_SIZE:
        raise ValueError(f"is longer than {MAX_SIZE} octets")
    secrets = []
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text and not _SECRET.fullmatch(text):
            raise ValueError(f"line {number} is no secret of 128 bits")
        if text:
            secrets.append(bytes.fromhex(text))
    if not secrets or len(secrets) > MAX_SECRETS:
        raise ValueError(f"holds {len(secrets)} secrets, not 1 to {MAX_SECRETS}")
    return tuple(secrets)


def faults(file: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield why a file cannot be used, and what mends that."""
    if file is None:
        return
    if fault := why_unreadable(file, environ, "check the path and its permissions"):
        yield fault
        return
    try:
        with located(file, environ).open("rb") as opened:
            parse_secrets(opened.read(MAX_SIZE + 1))
    except OSError as error:
        yield f"{file} cannot be read: {error.strerror}", "check the path and its permissions"
    except ValueError as error:
        yield str(error), MEND


def open_to_all(file: Path | None, environ: Mapping[str, str]) -> bool:
    """Return whether every user of this host may read a file."""
    if file is None:
        return False
    try:
        return bool(located(file, environ).stat().st_mode & S_IROTH)
    except (OSError, ValueError):
        return False
