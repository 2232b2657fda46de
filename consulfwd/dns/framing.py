"""DNS over a stream (RFC 7766): two octets of length before each message.

Pure: bytes in, whole messages out. Timeouts and limits on connections are the shell's.
"""

from __future__ import annotations


def frame(message: bytes) -> bytes:
    """Return a message as it travels on a stream."""
    return len(message).to_bytes(2, "big") + message


class StreamReader:
    """Collects stream bytes, gives back whole messages; holds at most one unfinished message."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages completed by `data`, in order (an empty message is b"")."""
        buffer = self._buffer
        buffer += data
        messages = []
        position = 0
        while len(buffer) - position >= 2:
            end = position + 2 + (buffer[position] << 8 | buffer[position + 1])
            if end > len(buffer):
                break
            messages.append(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]
        return messages

    @property
    def pending(self) -> int:
        """Return how many octets of an unfinished message are held."""
        return len(self._buffer)
