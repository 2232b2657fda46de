"""Connections to the admin server, within bounds: how many, how long, how much of each.

What belongs here: reading requests, writing replies, and who is let go when. What is answered is
passed in. Whoever never says anything, never ends or never reads costs a little for a while, and
no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from consulfwd.ops.admin import http
from consulfwd.ops.admin.doors import Door
from consulfwd.ops.admin.http import HttpError, Reply, Request

log = logging.getLogger("consulfwd.admin")

Answer = Callable[[Request, bytes, Door], Awaitable[Reply]]

BUSY = http.refusal(HttpError(503, "too many connections: try again", Retry_After="1"))


class Limits(NamedTuple):
    """Connections at one door, and how many of them are replies without an end; times in seconds.

    `head` and `body` are what reading them may take, `idle` how long a connection is kept between
    requests, `stuck` how long a reader may read nothing, `parting` how long it is waited for what
    one still says who was refused. Of new ones `burst` are taken at once, then `rate` a second.
    """

    connections: int = 64
    streams: int = 16
    head: float = 10.0
    body: float = 10.0
    idle: float = 30.0
    stuck: float = 10.0
    parting: float = 0.5
    burst: int = 200
    rate: float = 500.0


LIMITS = Limits()
# What is read ahead of a connection, and of who was refused (octets).
_AHEAD, _PARTING = 16_384, 4 << 20


class Connections:
    """Serves connections by what `answer` says. `counts` are of what happened since the start."""

    def __init__(self, answer: Answer, limits: Limits = LIMITS) -> None:
        self.counts: Counter[str] = Counter()
        self._answer = answer
        self._limits = limits
        self._open: Counter[Door] = Counter()
        self._streams: Counter[Door] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self) -> dict[str, float]:
        """Return how many there are and were, by name."""
        here = {
            "connections": sum(self._open.values()), "streams": sum(self._streams.values()),
        }  # fmt: skip
        names = ("requests", "errors", "refused", "dropped")
        return {**here, **{name: self.counts[name] for name in names}}

    async def accept(self, sock: socket.socket, door: Door) -> None:
        """Let in who comes, until cancelled."""
        loop = asyncio.get_running_loop()
        room, since = float(self._limits.burst), loop.time()
        while True:
            try:
                came, _ = await loop.sock_accept(sock)
            except OSError as error:
                # Most of all that there are too many open files.
                log.debug("nobody can be let in: %s", error)
                await asyncio.sleep(1)
                continue
            now = loop.time()
            room = min(self._limits.burst, room + (now - since) * self._limits.rate) - 1
            since = now
            if self._open[door] >= self._limits.connections:
                self._refuse(came)
            else:
                self._open[door] += 1
                task = loop.create_task(self._served(came, door))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if room < 0:
                # Whoever knocks all the time is not to keep anybody here busy.
                await asyncio.sleep(-room / self._limits.rate)

    def _refuse(self, came: socket.socket) -> None:
        self.counts["refused"] += 1
        with came, contextlib.suppress(OSError):
            came.setblocking(False)
            # What was sent has to be read, or the reply is lost with it.
            with contextlib.suppress(BlockingIOError):
                came.recv(_AHEAD)
            came.send(http.head_of(BUSY, keep=False) + BUSY.body)

    async def close(self) -> None:
        """End all there are; nobody is let in any more by then."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            # Again: before Python 3.12 `wait_for` loses a cancellation now and then.
            await asyncio.wait(set(self._tasks), timeout=0.1)

    async def _served(self, came: socket.socket, door: Door) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_AHEAD, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            came.setblocking(False)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, came)
            # What is written is waited for: nothing is left that nobody takes.
            transport.set_write_buffer_limits(0)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await self._requests(reader, writer, door)
            except (OSError, EOFError):
                pass
            except Exception:
                log.exception("a connection failed:")
            finally:
                # Not close(): that would wait for a reader who never reads.
                if transport.get_write_buffer_size():
                    self.counts["dropped"] += 1
                    transport.abort()
                transport.close()
        except OSError:
            came.close()
        finally:
            self._open[door] -= 1

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door
    ) -> None:
        held = bytearray()
        patience = self._limits.head
        while True:
            try:
                request = await self._request(reader, held, patience)
                if request is None:
                    return
                body = await self._body(reader, writer, held, request)
            except HttpError as error:
                self.counts["errors"] += 1
                await self._send(writer, http.refusal(error), keep=False)
                await self._part(reader, writer)
                return
            self.counts["requests"] += 1
            reply = await self._reply(request, body, door)
            if reply.stream is not None:
                only_head = request.method == "HEAD"
                await self._stream(reader, writer, reply, door, only_head=only_head)
                return
            await self._send(writer, reply, keep=request.keep, whole=request.method != "HEAD")
            if not request.keep:
                return
            patience = self._limits.idle

    async def _request(
        self, reader: asyncio.StreamReader, held: bytearray, patience: float
    ) -> Request | None:
        """Return the next request, None at the end. Raises HttpError for what is none."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience
        begun = bool(held)
        while (at := held.find(http.END)) < 0:
            _early(held)
            left = ends - loop.time()
            part = await _within(left, reader.read(_AHEAD))
            if part is None:
                if held:
                    raise HttpError(408, "the request did not come in time")
                return None
            if not part:
                if held:
                    raise HttpError(400, "the request ended before its head did")
                return None
            if not begun:
                begun, ends = True, min(ends, loop.time() + self._limits.head)
            held += part
        if at > http.HEAD:
            raise HttpError(431, f"the head is longer than {http.HEAD} octets")
        head = bytes(held[:at])
        del held[: at + len(http.END)]
        return http.parse(head)

    async def _body(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        held: bytearray,
        request: Request,
    ) -> bytes:
        if request.length and request.fields.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._limits.body
        while len(held) < request.length:
            part = await _within(ends - loop.time(), reader.read(_AHEAD))
            if not part:
                raise HttpError(408 if part is None else 400, "the body did not come")
            held += part
        body = bytes(held[: request.length])
        del held[: request.length]
        return body

    async def _reply(self, request: Request, body: bytes, door: Door) -> Reply:
        try:
            reply = await self._answer(request, body, door)
            if reply.stream is not None and self._streams[door] >= self._limits.streams:
                reply.stream.close()
                raise HttpError(503, "too many are looking already: try again", Retry_After="10")
        except HttpError as error:
            self.counts["errors"] += 1
            return http.refusal(error)
        except Exception:
            log.exception("%s could not be answered:", request.path)
            self.counts["errors"] += 1
            return http.refusal(HttpError(500, "an error of ours: see the log"))
        return reply

    async def _send(
        self, writer: asyncio.StreamWriter, reply: Reply, *, keep: bool, whole: bool = True
    ) -> None:
        writer.write(http.head_of(reply, keep=keep) + (reply.body if whole else b""))
        await self._drained(writer)

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(writer.drain(), self._limits.stuck)
        except asyncio.TimeoutError:
            raise ConnectionAbortedError("the reader does not read") from None

    async def _stream(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        reply: Reply,
        door: Door,
        *,
        only_head: bool,
    ) -> None:
        stream = reply.stream
        assert stream is not None
        self._streams[door] += 1
        gone = asyncio.ensure_future(reader.read(1))
        coming: asyncio.Future[bytes] | None = None
        try:
            await self._send(writer, reply, keep=False)
            while not only_head:
                coming = asyncio.ensure_future(stream.next())
                await asyncio.wait({gone, coming}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return
                if not (part := coming.result()):
                    return
                writer.write(part)
                await self._drained(writer)
        finally:
            self._streams[door] -= 1
            for one in (gone, coming):
                if one is not None and not one.done():
                    one.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await one
                elif one is not None and not one.cancelled():
                    one.exception()
            stream.close()

    async def _part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the other read why it was refused: what it still sends would have it thrown away."""
        if writer.can_write_eof():
            writer.write_eof()
        loop = asyncio.get_running_loop()
        ends, octets = loop.time() + self._limits.parting, 0
        while octets < _PARTING and (part := await _within(ends - loop.time(), reader.read(65536))):
            octets += len(part)


def _early(held: bytearray) -> None:
    """Raise HttpError where what came so far cannot become a request."""
    if held and not (65 <= held[0] <= 90):
        raise HttpError(400, "that is not HTTP")
    if b"\n\n" in held:
        raise HttpError(400, "lines end with CR LF")
    if len(held) > http.HEAD:
        raise HttpError(431, f"the head is longer than {http.HEAD} octets")


async def _within(seconds: float, reading: Awaitable[bytes]) -> bytes | None:
    """Return what is read, None if it does not come in time."""
    try:
        return await asyncio.wait_for(reading, max(seconds, 0))
    except asyncio.TimeoutError:
        return None
