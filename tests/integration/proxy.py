"""A TCP proxy in front of an agent's HTTP port, to be cut or closed while the agent runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from consulfwd.dev.accepting import accept_no_more
from tests.integration.asking import At


class Proxy:
    """Passes connections on to `target` from a free port of the same address; a context manager.

    `cut` lets nothing more through, as a network that drops packets; `close` also ends what is
    open and refuses what is new; `leader_late` keeps back what the leader would say, and lets
    through what any server may; `mend` undoes all of it, for new connections.
    """

    def __init__(self, target: At) -> None:
        self._target = target
        self._through = self._leader = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen)
        return self

    def __exit__(self, *error: object) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """From here on nothing is passed on, either way."""
        self._do(self._cut)

    def leader_late(self) -> None:
        """From here on no question that is the leader's (one without `stale`) is answered."""
        self._do(self._late)

    def close(self) -> None:
        """End every connection and listen no more."""
        self._do(self._end)

    def mend(self) -> None:
        """Pass new connections on; those that were cut are ended."""
        self._do(self._end)
        self._do(self._listen)

    def _do(self, work: Callable[[], Any]) -> None:
        async def call() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    async def _listen(self) -> None:
        self._through = self._leader = True
        self._server = await asyncio.start_server(self._serve, self._target[0], self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        self._through = False

    async def _late(self) -> None:
        self._leader = False

    async def _end(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # Those that were accepted at this moment begin first, and end with the others.
            await accept_no_more(server.sockets)
            server.close()
            for _ in range(2):
                await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            other_reader, other_writer = await asyncio.open_connection(*self._target)
            self._writers.add(other_writer)
            asked: list[bytes] = []
            await asyncio.gather(
                self._pass(reader, other_writer, asked, asks=True),
                self._pass(other_reader, writer, asked),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: list[bytes],
        *,
        asks: bool = False,
    ) -> None:
        """Pass on one way; `asked` are the first lines of what was asked on this connection."""
        while data := await reader.read(65536):
            if asks:
                asked.append(data.partition(b"\r\n")[0])
            anybodys = bool(asked) and b"stale" in asked[-1]
            if self._through and (self._leader or anybodys):
                writer.write(data)
        if self._through:
            writer.close()
