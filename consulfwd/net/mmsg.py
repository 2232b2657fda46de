"""Many datagrams per system call: Linux's recvmmsg(2) and sendmmsg(2), compiled or by ctypes.

Addresses stay the kernel's own bytes (struct sockaddr): what came in goes out again unparsed.
Knows nothing of DNS. Where the calls are missing, `available` says so.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from consulfwd.net.fastlane import fast

BATCH = 64
# Of a query, so much stands in the block that is copied at once (small: it must not push
# everything else out of the processor's cache), and so much more beside it.
SLOT = 256
SPILL = 4096 - SLOT
SEND_BUFFER = 256 * 1024
_DONTWAIT = 0x40
_HEADER = 64  # sizeof(struct mmsghdr) on 64-bit Linux; msg_len stands at 56
_NAME_SIZE = {socket.AF_INET: 16, socket.AF_INET6: 28}


def _functions() -> tuple[Any, Any] | None:
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        # Nothing here blocks, so nobody else need run meanwhile: PyDLL keeps the interpreter lock.
        libc = ctypes.PyDLL(None, use_errno=True)
        receive, send = libc.recvmmsg, libc.sendmmsg
    except (OSError, AttributeError):
        return None
    pointer, number, unsigned = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
    receive.argtypes = (number, pointer, unsigned, number, pointer)
    send.argtypes = (number, pointer, unsigned, number)
    return receive, send


_CALLS = _functions()
available = fast is not None or _CALLS is not None


class PureBatch:
    """Buffers for receiving and sending on one socket.

    A datagram longer than `size` goes on in the spill, `message` puts it together; one longer
    than both comes cut.

    On an unconnected socket every message has an address of `name_size` octets. After `receive`
    gave n, message i is `lengths[i]` octets at i * size in `data`, its address at i * name_size
    in `names`. On a connected one, take the messages from `messages`.
    """

    def __init__(
        self, sock: socket.socket, size: int = SLOT, spill: int = SPILL, *, named: bool = True
    ) -> None:
        assert _CALLS is not None
        self._receive, self._send = _CALLS
        self._fd = sock.fileno()
        self._size = size
        self._spill_size = spill
        self.name_size = _NAME_SIZE[sock.family] if named else 0
        self.data = b""
        self.names = b""
        self.lengths: list[int] = []
        self._in = memoryview(_reserved(BATCH * size))
        self._in_names = memoryview(bytearray(BATCH * self.name_size + 1))
        self._spill = memoryview(_reserved(BATCH * spill + 1))
        self._in_iovecs = bytearray(BATCH * 32)
        self._in_headers = bytearray(BATCH * _HEADER)
        self._out = _reserved(SEND_BUFFER)
        self._out_names = bytearray(BATCH * self.name_size + 1)
        self._out_iovecs = bytearray(BATCH * 16)
        self._out_headers = bytearray(BATCH * _HEADER)
        self._fill(self._in_headers, _address(self._in_names), self._in_iovecs, parts=2)
        self._fill(self._out_headers, _address(self._out_names), self._out_iovecs)
        base, beside = _address(self._in), _address(self._spill)
        for index in range(BATCH):
            places = (base + index * size, size, beside + index * spill, spill)
            struct.pack_into("=QQQQ", self._in_iovecs, index * 32, *places)
        self._lengths = memoryview(self._in_headers).cast("I")[14 :: _HEADER // 4]
        out = memoryview(self._out_iovecs).cast("Q")
        self._out_bases, self._out_lengths = out[0::2], out[1::2]
        self._out_base = _address(self._out)
        self._in_at = _address(self._in_headers)
        self._out_at = _address(self._out_headers)
        # A reply to message i goes to where it came from, and begins with its ID: both stay where
        # they were received.
        self._back_iovecs = bytearray(BATCH * 32)
        self._back_headers = bytearray(BATCH * _HEADER)
        self._fill(self._back_headers, _address(self._in_names), self._back_iovecs, parts=2)
        for index in range(BATCH):
            struct.pack_into("=QQ", self._back_iovecs, index * 32, base + index * size, 2)
        back = memoryview(self._back_iovecs).cast("Q")
        self._back_bases, self._back_lengths = back[2::4], back[3::4]
        self._back_at = _address(self._back_headers)

    def _fill(
        self, headers: bytearray, names_at: int, iovecs: bytearray, *, parts: int = 1
    ) -> None:
        iovecs_at = _address(iovecs)
        size = self.name_size
        for index in range(BATCH):
            name = names_at + index * size if size else 0
            fields = (name, size, iovecs_at + index * parts * 16, parts, 0, 0, 0, 0)
            struct.pack_into("=QI4xQQQQi4xI4x", headers, index * _HEADER, *fields)

    def receive(self) -> int:
        """Take up to BATCH datagrams; return how many, 0 when there are none. Raises OSError."""
        count: int = self._receive(self._fd, self._in_at, BATCH, _DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(number, os.strerror(number))
        self.lengths = self._lengths[:count].tolist()
        if self.name_size:
            self.data = self._in[: count * self._size].tobytes()
            self.names = self._in_names[: count * self.name_size].tobytes()
        return count

    def message(self, index: int) -> bytes:
        """Return message `index` of the last `receive`, whole."""
        length, size = self.lengths[index], self._size
        start = index * size
        if length <= size:
            return bytes(self._in[start : start + length])
        spilled = index * self._spill_size
        rest = self._spill[spilled : spilled + length - size]
        return bytes(self._in[start : start + size]) + bytes(rest)

    def messages(self) -> list[bytes]:
        """Return the messages of the last `receive`."""
        if max(self.lengths, default=0) > self._size:
            return [self.message(index) for index in range(len(self.lengths))]
        view = self._in
        starts = range(0, BATCH * self._size, self._size)
        return [bytes(view[at : at + length]) for at, length in zip(starts, self.lengths)]  # noqa: B905

    def close(self) -> None:
        """Send nothing any more: the socket's number may be that of another one soon."""
        self._fd = -1

    def send_back(self, tails: list[bytes]) -> int:
        """Answer every message of the last `receive`; return the errno of the last failure or 0.

        Reply i is the first two octets of message i, then `tails[i]`.
        """
        count = len(tails)
        lengths = list(map(len, tails))
        joined = b"".join(tails)
        if len(joined) > SEND_BUFFER:
            size = self.name_size
            names = [bytes(self._in_names[at : at + size]) for at in range(0, count * size, size)]
            starts = range(0, count * self._size, self._size)
            heads = [bytes(self._in[at : at + 2]) for at in starts]
            return self.send([a + b for a, b in zip(heads, tails, strict=True)], names)
        self._out[: len(joined)] = joined
        bases = list(accumulate(lengths[:-1], initial=self._out_base))
        self._back_bases[:count] = memoryview(array("Q", bases))
        self._back_lengths[:count] = memoryview(array("Q", lengths))
        return self._transmit(self._back_at, count)

    def send(self, replies: list[bytes], names: Sequence[bytes] = ()) -> int:
        """Send each message, to the address beside it; return the errno of the last failure or 0.

        What the kernel has no room for, or no route, is lost; the rest is sent.
        """
        failure = 0
        for start in range(0, len(replies), BATCH):
            end = start + BATCH
            failure = self._send_chunk(replies[start:end], names[start:end]) or failure
        return failure

    def _send_chunk(self, replies: list[bytes], names: Sequence[bytes]) -> int:
        count = len(replies)
        lengths = list(map(len, replies))
        total = sum(lengths)
        if total > SEND_BUFFER:
            half = count // 2
            failure = self._send_chunk(replies[:half], names[:half])
            return self._send_chunk(replies[half:], names[half:]) or failure
        self._out[:total] = b"".join(replies)
        if names:
            self._out_names[: count * self.name_size] = b"".join(names)
        bases = list(accumulate(lengths[:-1], initial=self._out_base))
        self._out_bases[:count] = memoryview(array("Q", bases))
        self._out_lengths[:count] = memoryview(array("Q", lengths))
        return self._transmit(self._out_at, count)

    def _transmit(self, headers_at: int, count: int) -> int:
        done = failure = 0
        while done < count:
            at = headers_at + done * _HEADER
            sent: int = self._send(self._fd, at, count - done, _DONTWAIT)
            if sent > 0:
                done += sent
                continue
            number = ctypes.get_errno()
            if number == errno.EINTR:
                continue
            if number in (errno.EAGAIN, errno.ENOBUFS):
                return number
            if number != errno.ECONNREFUSED or failure == number:
                done += 1  # no route, a vanished client: the others can still be sent
            # ECONNREFUSED is news of an earlier message; this one is tried again, once.
            failure = number
        return failure


if TYPE_CHECKING or fast is None:  # noqa: SIM108 - a type checker reads it
    Batch = PureBatch
else:
    Batch = fast.Batch


def _reserved(size: int) -> mmap.mmap:
    """Return a buffer that takes no more memory than what is written into it, page by page.

    A `bytearray` is filled with zeros: the 64 longest datagrams there may be were 4 MB of each
    agent's socket, of which a page or two were ever used.
    """
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _address(buffer: bytearray | mmap.mmap | memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def to_address(name: bytes) -> tuple[str, int]:
    """Return (address, port) of a struct sockaddr_in or sockaddr_in6."""
    port = int.from_bytes(name[2:4], "big")
    if len(name) == 16:
        return socket.inet_ntoa(name[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, name[8:24]), port
