"""A reply of HTTP/1.1 read from octets that anybody may have written (RFC 9112).

What belongs here: its head, and which octets are its body. Must not know: where they come from, and
what the reply is worth. Pure, and bounded: a head of `HEAD` octets or fewer, so many interim
replies.
"""

from __future__ import annotations

from enum import Enum

HEAD = 32_768
INTERIM = 8
# A line of chunked coding: its size, and extensions nobody uses.
_LINE = 256
_MANY = 1_000
_HEX = frozenset(b"0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")
_WITHOUT_BODY = frozenset({204, 304})


class BadReply(Exception):
    """What came is no HTTP; the text says why, for people."""


class _Body(Enum):
    """How the end of the body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class HttpReply:
    """One reply. `status` is 0 and `headers` (names in lower case) are empty before its head came.

    `whole` says that its body has ended. A head of more than `most` octets is none. Where `least`
    is given, many chunks of fewer octets on the average are none, either: to put them together
    takes longer than anybody is to wait.
    """

    __slots__ = (
        "_buffer", "_chunked", "_head_only", "_interim", "_kind", "_least", "_left", "_most",
        "_version", "headers", "status", "whole",
    )  # fmt: skip

    def __init__(self, *, head_only: bool = False, most: int = HEAD, least: int = 0) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self._head_only = head_only
        self._most = most
        self._least = least
        # How many chunks came, and of how many octets.
        self._chunked = (0, 0)
        self._version = ""
        self._buffer = bytearray()
        self._interim = 0
        self._kind = _Body.CLOSE
        # Octets to come of the body, or of the chunk; -1: the line with a chunk's size.
        self._left = 0

    @property
    def lasting(self) -> bool:
        """Whether another reply may follow on this connection (RFC 9112 section 9.3).

        Only where this one is whole, and nothing behind it: what is there might be taken for the
        reply to what is asked next.
        """
        ended = b"\r\n" if self._kind is _Body.CHUNKED else b""
        told = self._kind is not _Body.CLOSE or self.status in _WITHOUT_BODY
        options = self.headers.get("connection", "").lower().replace(" ", "").split(",")
        kept = self._version == "HTTP/1.1" and "close" not in options
        return self.whole and told and kept and self._buffer == ended

    def feed(self, octets: bytes) -> bytes:
        """Return what belongs to the body of what came. Raises BadReply."""
        self._buffer += octets
        while not self.status:
            if not self._head():
                return b""
        return b"" if self.whole else self._body()

    def end(self) -> None:
        """Note that nothing more will come. Raises BadReply where something is missing."""
        if not self.status:
            some = "in the middle of the reply's head" if self._buffer else "without a reply"
            raise BadReply(f"the connection was closed {some}")
        if not self.whole and self._kind is not _Body.CLOSE:
            raise BadReply("the connection was closed in the middle of the page")
        self.whole = True

    def _head(self) -> bool:
        """Read a head, if it is there; return whether it was."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 and not b"HTTP/1.".startswith(bytes(self._buffer[:7])):
            raise BadReply("what came is not HTTP")
        if end > self._most or (end < 0 and len(self._buffer) > self._most):
            raise BadReply(f"its head has more than {self._most} octets")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        status = _status(first)
        if status == 101:
            raise BadReply("it went over to something that is not HTTP")
        if status < 200:
            self._interim += 1
            if self._interim > INTERIM:
                raise BadReply("it goes on saying that it is at it (HTTP 1xx)")
            return True
        self.status = status
        self._version = first.partition(" ")[0]
        for line in lines:
            self._header(line)
        self._begin()
        return True

    def _header(self, line: str) -> None:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not name or name != name.strip():
            raise BadReply("a line of its head is no header")
        if name in ("content-length", "transfer-encoding") and name in self.headers:
            raise BadReply(f"it says its {name} twice")
        self.headers.setdefault(name, value)

    def _begin(self) -> None:
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if self._head_only or self.status in _WITHOUT_BODY:
            self.whole = True
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise BadReply("how long its page is cannot be known")
            self._kind, self._left = _Body.CHUNKED, -1
        elif length is not None:
            if not length or len(length) > 18 or not _DIGITS.issuperset(length):
                raise BadReply("how long its page is cannot be known")
            self._kind, self._left = _Body.LENGTH, int(length)
            self.whole = not self._left

    def _body(self) -> bytes:
        if self._kind is _Body.CHUNKED:
            return self._chunks()
        if self._kind is _Body.CLOSE:
            found = bytes(self._buffer)
        else:
            found = bytes(memoryview(self._buffer)[: self._left])
            self._left -= len(found)
            self.whole = not self._left
        # What is behind it stays, and is seen.
        del self._buffer[: len(found)]
        return found

    def _chunks(self) -> bytes:
        found = bytearray()
        at, buffer = 0, self._buffer
        count, octets = self._chunked
        while not self.whole:
            if self._left < 0:
                end = buffer.find(b"\r\n", at, at + _LINE)
                if end < 0:
                    if len(buffer) - at >= _LINE:
                        raise BadReply("a chunk of its page does not say how long it is")
                    break
                self._left = _size(bytes(buffer[at:end]))
                at = end + 2
                count, octets = count + 1, octets + max(self._left - 2, 0)
                if count > _MANY and octets < count * self._least:
                    raise BadReply("its page comes in crumbs")
                # Trailers after the last are of no interest.
                self.whole = self._left == 0
                continue
            if self._left > 2:
                piece = buffer[at : at + self._left - 2]
                found += piece
                at += len(piece)
                self._left -= len(piece)
            if self._left > 2 or len(buffer) - at < 2:
                break
            if buffer[at : at + 2] != b"\r\n":
                raise BadReply("a chunk of its page is longer than it says")
            at += 2
            self._left = -1
        self._chunked = count, octets
        del buffer[:at]
        return bytes(found)


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    digits = rest[:3]
    fit = len(digits) == 3 and _DIGITS.issuperset(digits) and rest[3:4] in ("", " ")
    if not version.startswith("HTTP/1.") or not fit or not 100 <= int(digits) <= 599:
        raise BadReply("what came is not HTTP")
    return int(digits)


def _size(line: bytes) -> int:
    """Return how many octets of a chunk are to come, with the end of its last line; 0: none."""
    digits = line.partition(b";")[0].strip()
    if not 0 < len(digits) <= 15 or not _HEX.issuperset(digits):
        raise BadReply("a chunk of its page does not say how long it is")
    size = int(digits, 16)
    return size + 2 if size else 0
