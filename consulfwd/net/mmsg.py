"""Many datagrams per system call: Linux's recvmmsg(2) and sendmmsg(2) through ctypes.

Addresses stay the kernel's own bytes (struct sockaddr): what came in goes out again unparsed.
Knows nothing of DNS. Where the calls are missing, `available` says so.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from array import array
from itertools import accumulate
from typing import Any

BATCH = 64
RECEIVE_SIZE = 1232
SEND_BUFFER = 256 * 1024
_DONTWAIT = 0x40
_HEADER = 64  # sizeof(struct mmsghdr) on 64-bit Linux; msg_len stands at 56
_NAME_SIZE = {socket.AF_INET: 16, socket.AF_INET6: 28}


def _functions() -> tuple[Any, Any] | None:
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        receive, send = libc.recvmmsg, libc.sendmmsg
    except (OSError, AttributeError):
        return None
    pointer, number, unsigned = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
    receive.argtypes = (number, pointer, unsigned, number, pointer)
    send.argtypes = (number, pointer, unsigned, number)
    return receive, send


_CALLS = _functions()
available = _CALLS is not None


class Batch:
    """Buffers for one socket. After `receive` gave n, message i is in `data` at i * RECEIVE_SIZE,
    `lengths[i]` octets long, from the address `names[i * name_size : (i + 1) * name_size]`.
    """

    def __init__(self, sock: socket.socket) -> None:
        assert _CALLS is not None
        self._receive, self._send = _CALLS
        self._fd = sock.fileno()
        self.name_size = _NAME_SIZE[sock.family]
        self.data = b""
        self.names = b""
        self.lengths: list[int] = []
        self._in = bytearray(BATCH * RECEIVE_SIZE)
        self._in_names = bytearray(BATCH * self.name_size)
        self._out = bytearray(SEND_BUFFER)
        self._out_names = bytearray(BATCH * self.name_size)
        self._in_iovecs = bytearray(BATCH * 16)
        self._out_iovecs = bytearray(BATCH * 16)
        self._in_headers = bytearray(BATCH * _HEADER)
        self._out_headers = bytearray(BATCH * _HEADER)
        self._in_view = memoryview(self._in)
        self._out_base = _address(self._out)
        self._fill(self._in_headers, self._in_names, self._in_iovecs)
        self._fill(self._out_headers, self._out_names, self._out_iovecs)
        base = _address(self._in)
        for index in range(BATCH):
            address = base + index * RECEIVE_SIZE
            struct.pack_into("=QQ", self._in_iovecs, index * 16, address, RECEIVE_SIZE)
        self._lengths = memoryview(self._in_headers).cast("I")[14 :: _HEADER // 4]
        out = memoryview(self._out_iovecs).cast("Q")
        self._out_bases, self._out_lengths = out[0::2], out[1::2]
        self._in_at = _address(self._in_headers)
        self._out_at = _address(self._out_headers)

    def _fill(self, headers: bytearray, names: bytearray, iovecs: bytearray) -> None:
        names_at, iovecs_at = _address(names), _address(iovecs)
        for index in range(BATCH):
            struct.pack_into(
                "=QI4xQQQQi4xI4x",
                headers,
                index * _HEADER,
                names_at + index * self.name_size,
                self.name_size,
                iovecs_at + index * 16,
                1,
                0,
                0,
                0,
                0,
            )

    def receive(self) -> int:
        """Take up to BATCH datagrams; return how many, 0 when there are none.

        A datagram longer than RECEIVE_SIZE comes cut to it. Raises OSError.
        """
        count: int = self._receive(self._fd, self._in_at, BATCH, _DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(number, "recvmmsg")
        self.data = bytes(self._in_view[: count * RECEIVE_SIZE])
        self.names = bytes(self._in_names) if count == BATCH else bytes(
            memoryview(self._in_names)[: count * self.name_size]
        )
        self.lengths = self._lengths[:count].tolist()
        return count

    def send(self, replies: list[bytes], names: list[bytes]) -> int:
        """Send each reply to the address beside it; return how many the kernel would not take."""
        refused = 0
        for start in range(0, len(replies), BATCH):
            chunk = replies[start : start + BATCH]
            refused += self._send_chunk(chunk, names[start : start + BATCH])
        return refused

    def _send_chunk(self, replies: list[bytes], names: list[bytes]) -> int:
        count = len(replies)
        lengths = list(map(len, replies))
        total = sum(lengths)
        if total > SEND_BUFFER:
            half = count // 2
            refused = self._send_chunk(replies[:half], names[:half])
            return refused + self._send_chunk(replies[half:], names[half:])
        self._out[:total] = b"".join(replies)
        self._out_names[: count * self.name_size] = b"".join(names)
        bases = list(accumulate(lengths[:-1], initial=self._out_base))
        self._out_bases[:count] = memoryview(array("Q", bases))
        self._out_lengths[:count] = memoryview(array("Q", lengths))
        done = refused = 0
        while done < count:
            at = self._out_at + done * _HEADER
            sent: int = self._send(self._fd, at, count - done, _DONTWAIT)
            if sent > 0:
                done += sent
            elif ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS):
                return refused + count - done
            elif ctypes.get_errno() != errno.EINTR:
                done += 1  # this one cannot be sent (no route, a vanished client); the rest can
                refused += 1
        return refused


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def to_address(name: bytes) -> tuple[str, int]:
    """Return (address, port) of a struct sockaddr_in or sockaddr_in6."""
    port = int.from_bytes(name[2:4], "big")
    if len(name) == 16:
        return socket.inet_ntoa(name[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, name[8:24]), port
