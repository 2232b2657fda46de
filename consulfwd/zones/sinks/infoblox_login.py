"""What is shown to a WAPI: the password once, then the cookie that it gives for that.

What belongs here: which of the two, and when the password is not shown again. Must not know: what
is asked. Neither is in a text, an error or a log line.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

from consulfwd.config.credentials import located
from consulfwd.errors import ApplyError

# A grid locks accounts that show wrong passwords: one that was refused is shown again this late,
# in seconds, unless there is another one in the file.
PAUSE = 300.0
_LONGEST = 4096


class Login:
    """What one user shows, at each URL."""

    def __init__(
        self,
        where: str,
        user: str,
        file: Path,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._where = where
        self._user = user
        self._file = file
        self._environ = environ
        self._clock = clock
        self._cookies: dict[str, str] = {}
        self._refused: tuple[str, float] | None = None

    def cookie(self, url: str) -> dict[str, str]:
        """Return the header that has the cookie of a URL, none where there is none."""
        found = self._cookies.get(url)
        return {"Cookie": f"ibapauth={found}"} if found else {}

    def keep(self, url: str, cookie: str) -> None:
        """Take the cookie that came with a reply; "" if none did."""
        if cookie and cookie.isascii() and cookie.isprintable() and len(cookie) <= _LONGEST:
            self._cookies[url] = cookie

    def drop(self, url: str, header: Mapping[str, str]) -> None:
        """A cookie is not taken any more; it may be another one by now."""
        if self.cookie(url) == header:
            self._cookies.pop(url, None)

    def password(self) -> dict[str, str]:
        """Return the header that has the password, as it is in its file now. Raises ApplyError."""
        found = self._read()
        if self._refused is not None:
            refused, since = self._refused
            if refused == found and self._clock() < since + PAUSE:
                what = f"the password of {self._user} was refused, and is not shown again yet"
                mend = "put the right one into password_file: a grid locks accounts after a few"
                raise ApplyError(self._where, what, mend)
        return _basic(self._user, found)

    def refused(self, header: Mapping[str, str]) -> None:
        """Note that a password was not taken."""
        found = self._read()
        if _basic(self._user, found) == header:
            self._refused = (found, self._clock())

    def _read(self) -> str:
        try:
            path = located(self._file, self._environ)
            with path.open("rb") as file:
                text = file.read(_LONGEST + 1).decode().rstrip("\r\n")
        except (OSError, ValueError) as error:
            # What cannot be decoded is told without what it is.
            why = error.strerror if isinstance(error, OSError) else "is no text, or not there"
            raise ApplyError(
                self._where,
                f"the password cannot be read from {self._file}: {why}",
                "let the user that consulfwd runs as read password_file",
            ) from None
        if not text or len(text) > _LONGEST or "\n" in text:
            what = f"{self._file} holds no password"
            raise ApplyError(self._where, what, "it is one line: the password")
        return text


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
