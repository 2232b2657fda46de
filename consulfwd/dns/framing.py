"""DNS over a stream (RFC 7766): two octets of length before each message.

Pure: bytes in, whole messages out. Timeouts and limits on connections are the shell's.
"""

from __future__ import annotations

# More than anybody has at hand.
ALL = 1 << 30


def frame(message: bytes) -> bytes:
    """Return a message as it travels on a stream."""
    return len(message).to_bytes(2, "big") + message


class StreamReader:
    """Collects stream bytes, gives back whole messages; holds what is left, and no more."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview, most: int = ALL) -> list[bytes]:
        """Return the messages that are whole with `data`, in order (an empty message is b"").

        Of more than `most` the others stay octets, and are returned next.
        """
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        position = 0
        while len(buffer) - position >= 2 and len(messages) < most:
            end = position + 2 + (buffer[position] << 8 | buffer[position + 1])
            if end > len(buffer):
                break
            messages.append(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]
        return messages

    def clear(self) -> None:
        """Forget what is left."""
        self._buffer.clear()

    @property
    def pending(self) -> int:
        """Return how many octets are held."""
        return len(self._buffer)
