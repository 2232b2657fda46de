"""Raw queries made ready to be asked: parsed once, and kept for the next time."""

from __future__ import annotations

from consulfwd.core.ask import Ask, prepare
from consulfwd.dns import const, replies
from consulfwd.dns.wire import Query, read_query
from consulfwd.net.loop_tests import LoopTests
from consulfwd.net.table import Table

# Queries longer than this (octets; over TCP they can be 65535) are not kept for their next time.
KEPT_QUERY = 512
MAX_ASKS = 4096


class Questions:
    """`asks` are the questions by their queries without the ID."""

    def __init__(self, table: Table, asks: dict[bytes, Ask], loop_tests: LoopTests) -> None:
        self.asks = asks
        self._table = table
        self._loop_tests = loop_tests

    def prepare(self, data: bytes) -> Ask:
        """Return the question in a raw query. Raises WireError (see `read_query`)."""
        asks = self.asks
        ask = asks.get(data[2:])
        if ask is None:
            ask = prepare(read_query(data), self._table.routes)
            if self._loop_tests.seen(ask.name):
                ask.local = replies.empty(ask.question, const.REFUSED)
                return ask
            ask.raw = data[2:]
            if len(data) > KEPT_QUERY:
                return ask
            if len(asks) >= MAX_ASKS:
                self._make_room()
            asks[ask.raw] = ask
        return ask

    def _make_room(self) -> None:
        """Forget those asked once: made-up names do not push out what is asked all the time."""
        asks = self.asks
        once = [raw for raw, ask in asks.items() if not ask.is_asked_again() and ask.warm < 0]
        if len(once) < MAX_ASKS // 2:
            # Or it would soon come to that again.
            asks.clear()
        for raw in once:
            asks.pop(raw, None)

    def read(self, data: bytes) -> Query:
        """Return the raw query of somebody who may not ask; nothing is kept of it.

        Raises WireError (see `read_query`). Whoever sent it, a loop test that it holds came back.
        """
        query = read_query(data)
        self._loop_tests.seen(query.name)
        return query
