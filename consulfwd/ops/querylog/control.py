"""Who is told of queries now, as settings and orders have it; the observer of all listeners.

All of it is called on the event loop, but what says otherwise. While nobody is told, listeners
have no observer and nothing is done.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from consulfwd import __version__
from consulfwd.config import Settings
from consulfwd.config.sections import LEAST_SAMPLE, DnstapSettings
from consulfwd.core.sampling import NOBODY, Sampler
from consulfwd.net.noting import Noted, Observer
from consulfwd.ops.querylog import dnstap
from consulfwd.ops.querylog.collector import Collector
from consulfwd.ops.querylog.intake import Intake
from consulfwd.ops.querylog.sink import Sink
from consulfwd.ops.querylog.tail import Put, Tail
from consulfwd.ops.querylog.to_file import ToFile
from consulfwd.ops.querylog.to_log import ToLog
from consulfwd.ops.watched import OrderError

# So many look on at once.
MAX_TAILS = 8
_COUNTED = (
    "querylog_written", "querylog_dropped", "querylog_tails_dropped", "dnstap_written",
    "dnstap_dropped",
)  # fmt: skip


class QueryLog:
    """Tells of queries: lines in the log or a file, dnstap to a collector, and those who look on.

    `observe` gives listeners their observer, or None.
    """

    def __init__(self, observe: Callable[[Observer | None], None], rng: random.Random) -> None:
        self._observe = observe
        self._rng = rng
        self._settings = Settings()
        self._on, self._sample = False, 1.0
        self._lines: Sink | None = None
        self._tap: Sink | None = None
        self._tails: list[Sink] = []
        self._ending: list[Sink] = []
        self._shares: list[tuple[Intake, float]] = []
        self._sampler = Sampler(1.0, rng)
        self._before = dict.fromkeys(_COUNTED, 0)

    # -- what listeners call --------------------------------------------------------------------

    def take(self, count: int) -> Sequence[int]:
        """Return which of the next `count` queries are to be noted.

        None where nobody has room for them: what stands still is not to cost more than what works.
        """
        taken = self._sampler.take(count)
        if taken and all(intake.full for intake, _ in self._shares):
            for intake, share in self._shares:
                intake.dropped += self._part(len(taken), share)
            return NOBODY
        return taken

    def _part(self, count: int, share: float) -> int:
        """Return how many of so many notes would be told to one who is told that share."""
        if share >= 1.0:
            return count
        return sum(self._rng.random() < share for _ in range(count))

    def note(self, noted: Noted) -> None:
        """Pass a note on to each who is told, or to a part of them."""
        for intake, share in self._shares:
            if self._part(1, share):
                intake.put(noted)

    # -- settings and orders --------------------------------------------------------------------

    @property
    def observer(self) -> Observer | None:
        """Return what listeners are to tell, None for nobody."""
        return self if self._shares else None

    @staticmethod
    def check(settings: Settings) -> None:
        """Look whether settings can be used. Raises StartError."""
        if settings.dnstap.socket is not None:
            dnstap.form()

    def use(self, settings: Settings) -> None:
        """Go by settings from now on; an order stays in force if they say what they said before.

        A file of lines is opened anew.
        """
        before, self._settings = self._settings, settings
        same = settings.log.queries is before.log.queries and settings.querylog == before.querylog
        if not same:
            self._set(settings.log.queries, settings.querylog.sample)
        elif self._lines is not None and isinstance(self._lines.work, ToFile):
            self._lines.work.reopen()
        if settings.dnstap != before.dnstap:
            self._end(self._tap)
            self._tap = self._to_collector(settings.dnstap)
            self._arrange()

    def order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an order: `state` "on" or "off", perhaps `sample`. Raises OrderError."""
        state, sample = values.get("state"), values.get("sample")
        if state not in ("on", "off"):
            raise OrderError(400, "state must be on or off")
        if sample is None:
            sample = self._settings.querylog.sample
        self.set(state, _part(sample))
        return {"querylog": self.told()}

    def set(self, state: str, sample: float) -> None:
        """Turn the lines "on", for so many of the queries, or "off"."""
        self._set(state == "on", sample)

    def told(self) -> str:
        """Return what becomes of queries' lines, for people; "" while there are none."""
        if not self._on:
            return ""
        file = self._settings.querylog.file
        part = "all queries" if self._sample >= 1 else f"{100 * self._sample:g}% of the queries"
        return f"{part}, to {'the log' if file is None else file}"

    def faults(self) -> list[str]:
        """Return what is wrong with where queries are told, for people."""
        sinks = [one for one in (self._lines, self._tap) if one is not None]
        return [one.work.fault for one in sinks if one.work.fault]

    def counters(self) -> dict[str, float]:
        """Return what was told and dropped since the start, and to how many it is told now.

        Nothing while none of it was ever in use.
        """
        count: dict[str, float] = dict(self._before)
        for sink in (self._lines, self._tap, *self._tails, *self._ending):
            if sink is not None:
                for name, more in self._counted(sink).items():
                    count[name] += more
        if not self._shares and not any(count.values()):
            return {}
        tap = self._tap.work if self._tap is not None else None
        count["dnstap_connected"] = float(isinstance(tap, Collector) and tap.connected)
        count["querylog_tails"] = len(self._tails)
        return count

    def tail(self, put: Put, sample: float = 1.0) -> Callable[[], None]:
        """Let somebody look on, whatever is logged, at so many of the queries; return what ends it.

        `put` takes a line of JSON without its end. It is called in a thread, and must not wait.
        Raises OrderError when too many look on, or for a part that is none.
        """
        sample = _part(sample)
        if len(self._tails) >= MAX_TAILS:
            raise OrderError(409, f"{MAX_TAILS} look on already")
        intake = Intake()
        sink = Sink("tail of queries", sample, Tail(put, lambda: intake.dropped), intake)
        self._tails.append(sink)
        sink.start()
        self._arrange()

        def end() -> None:
            if sink in self._tails:
                self._tails.remove(sink)
                self._end(sink)
                self._arrange()

        return end

    async def close(self) -> None:
        """Tell nobody any more; what is noted is written, if that does not take long."""
        for sink in (self._lines, self._tap, *self._tails):
            self._end(sink)
        self._lines = self._tap = None
        self._tails.clear()
        self._arrange()
        running = asyncio.get_running_loop()
        for sink in self._ending:
            await running.run_in_executor(None, sink.wait)

    # -- what it comes to -----------------------------------------------------------------------

    def _set(self, on: bool, sample: float) -> None:
        self._end(self._lines)
        self._on, self._sample = on, sample
        self._lines = None
        if on:
            asked = self._settings.querylog
            json = asked.format == "json"
            work = ToLog() if asked.file is None else ToFile(asked.file, json=json)
            self._lines = Sink("query log", sample, work)
            self._lines.start()
        self._arrange()

    def _to_collector(self, asked: DnstapSettings) -> Sink | None:
        if asked.socket is None:
            return None
        identity = asked.identity or socket.gethostname()
        version = asked.version or f"consulfwd {__version__}"
        encoder = dnstap.Encoder(dnstap.form(), identity, version)
        sink = Sink("dnstap", asked.sample, Collector(asked.socket, encoder))
        sink.start()
        return sink

    def _end(self, sink: Sink | None) -> None:
        if sink is None:
            return
        sink.end()
        self._ending.append(sink)
        for one in self._ending:
            if not one.alive:
                for name, more in self._counted(one).items():
                    self._before[name] += more
        self._ending = [one for one in self._ending if one.alive]

    def _counted(self, sink: Sink) -> dict[str, int]:
        if isinstance(sink.work, Tail):
            return {"querylog_tails_dropped": sink.dropped}
        if isinstance(sink.work, Collector):
            # Of each query there are two messages, one with its reply.
            return {"dnstap_written": 2 * sink.given, "dnstap_dropped": 2 * sink.dropped}
        return {"querylog_written": sink.given, "querylog_dropped": sink.dropped}

    def _arrange(self) -> None:
        sinks = [one for one in (self._lines, self._tap, *self._tails) if one is not None]
        top = max((one.rate for one in sinks), default=1.0)
        self._sampler = Sampler(top, self._rng)
        self._shares = [(one.intake, one.rate / top) for one in sinks]
        self._observe(self.observer)


def _part(sample: object) -> float:
    """Return which part of the queries is meant. Raises OrderError.

    Of a part that is next to none nobody can draw how many are passed over.
    """
    if isinstance(sample, bool) or not isinstance(sample, int | float):
        sample = 0.0
    if LEAST_SAMPLE <= sample <= 1:
        return float(sample)
    raise OrderError(400, f"sample must be a number from {LEAST_SAMPLE} to 1")
