"""What an agent's settings point at: files at a path or handed over by systemd, and tokens.

A bare name is that of a credential (`LoadCredential=` of systemd.exec(5)): a file that only root
may read, which the service manager puts into a folder of the service's own. The environment is
given as an argument.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISDIR, S_ISREG

FOLDER_VARIABLE = "CREDENTIALS_DIRECTORY"
TOKEN_LIMIT = 4096


def located(file: Path, environ: Mapping[str, str]) -> Path:
    """Return the path of a file. Raises ValueError for a credential where none are."""
    if file.is_absolute():
        return file
    folder = environ.get(FOLDER_VARIABLE, "")
    if not folder:
        what = f"{file} is the name of a credential, and none were handed over here"
        raise ValueError(f"{what}: {FOLDER_VARIABLE} is not set")
    return Path(folder, file)


def why_unreadable(
    named: Path, environ: Mapping[str, str], mend: str, folder: str = "not a file"
) -> tuple[str, str] | None:
    """Return why a file cannot be read, and what mends that; None if it can.

    `folder` is what a folder in its place is called.
    """
    try:
        file = located(named, environ)
    except ValueError as error:
        return str(error), f"LoadCredential={named}:PATH in the unit does it; a path begins with /"
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}", mend
    if not S_ISREG(mode):
        return f"{file} is {folder if S_ISDIR(mode) else 'not a file'}", mend
    return None if os.access(file, os.R_OK) else (f"{file} may not be read", mend)


def is_token(text: str) -> bool:
    """Return whether a token can be that: whatever else is there must not get into a header."""
    return text.isascii() and text.isprintable() and len(text) <= TOKEN_LIMIT
