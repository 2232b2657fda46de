"""Puts to use what `core.freshness` knows: answers reused while watched, dropped when told.

Between the cache, which keeps answers, and `consul.watch`, which watches. Must not know
HTTP; what may be reused is decided in `core.freshness`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from consulfwd.core.ask import Ask
from consulfwd.core.cache import Cache, Entry
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.departures import Departed
from consulfwd.core.freshness import Freshness
from consulfwd.core.routes import Kind
from consulfwd.core.settling import corrected, has_gone
from consulfwd.core.subjects import Form, Subject, form_of
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.net.clock import Clock
from consulfwd.net.warmth import Warmth


class Fetched(NamedTuple):
    """An answer that was asked for at `sent_at` and came at `now` (see `Freshness.stored`).

    `candidates` are the agents that could carry a watch of its subject, the best first.
    """

    subject: Subject
    key: bytes
    candidates: tuple[str, ...]
    positive: bool
    sent_at: float
    now: float
    source: str
    denied: bool
    tag: str
    qtype: int
    records: int
    outdated: bool


class Reuse:
    """The resolver's side of watching: what was asked goes in, what is to be dropped comes back.

    `wake` is called when `freshness.due` says that there is something to do.
    """

    def __init__(
        self,
        cache: Cache,
        clock: Clock,
        warmth: Warmth,
        loop: asyncio.AbstractEventLoop,
        rules: WatchLimits,
        domains: Iterable[bytes],
        freshness: Freshness | None = None,
    ) -> None:
        self.freshness = freshness or Freshness(rules)
        self.wake: Callable[[], None] = lambda: None
        self._cache = cache
        self._clock = clock
        self._warmth = warmth
        self._loop = loop
        self._domains = tuple(domains)
        self._timer: asyncio.TimerHandle | None = None

    def fetched(self, ask: Ask, entry: Entry, sent_at: float, now: float) -> None:
        """Note an answer that was asked for at `sent_at`; while it is covered it stays fresh."""
        fetched = self._as_fetched(ask, entry, sent_at, now)
        if fetched is not None:
            seconds = self.judge(fetched)
            entry.until = entry.expires_at
            self.grant(entry, now, seconds, watched=fetched.subject in self.freshness.watches)

    def _as_fetched(
        self, ask: Ask, entry: Entry, sent_at: float, now: float
    ) -> Fetched | None:
        """Return what is to be known of an answer, None where no watch could hold it good."""
        form = self.form(ask)
        message = entry.message
        if form is None or message.aliased:
            return None
        subject = form.subject
        candidates: tuple[str, ...] = ()
        if subject not in self.freshness.watches:
            candidates = tuple(one.name for one in ask.route.plan() if one.is_agent)
        denied = message.rcode == const.NXDOMAIN
        outdated = self.outdated(ask, message, now) is not None
        return Fetched(
            subject, ask.key, candidates, message.positive, sent_at, now, entry.source, denied,
            form.tag, ask.qtype, message.answers, outdated,
        )  # fmt: skip

    def judge(self, fetched: Fetched) -> float | None:
        """Return for how many seconds an answer may be reused, None for by its TTL.

        What was asked for is watched, if there is room.
        """
        freshness = self.freshness
        subject, now, positive = fetched.subject, fetched.now, fetched.positive
        self.drop(
            freshness.asked(subject, fetched.candidates, now, positive=positive), changed=False
        )
        seconds = freshness.stored(
            subject,
            fetched.key,
            positive=positive,
            sent_at=fetched.sent_at,
            now=now,
            source=fetched.source,
            denied=fetched.denied,
            tag=fetched.tag,
            qtype=fetched.qtype,
            records=fetched.records,
            outdated=fetched.outdated,
        )
        if freshness.due:
            self.wake()
        return seconds

    def grant(self, entry: Entry, now: float, seconds: float | None, *, watched: bool) -> None:
        """Let an answer that came `now` be reused for so long (`judge`)."""
        entry.watched = watched
        if seconds:
            limits = self._cache.limits
            most = limits.max_ttl if entry.message.positive else limits.max_negative_ttl
            seconds = min(seconds, most)
        if seconds is not None:
            entry.expires_at = max(entry.expires_at, now + seconds) if seconds else now

    def form(self, ask: Ask) -> Form | None:
        """Return how Consul reads the name of a question, found out once."""
        form = ask.form
        if form is False:
            consul = ask.route.kind is Kind.CONSUL and ask.route.then is None
            # Types nobody uses are no answer's, only ways to fill the room for questions.
            consul = consul and ask.qtype in const.TYPES
            srv = ask.qtype == const.SRV
            form = ask.form = form_of(ask.name, self._domains, srv=srv) if consul else None
        return form

    def denies(self, ask: Ask, now: float) -> bool:
        """Return whether Consul told by a watch that the name has no answer (any more)."""
        form = self.form(ask)
        return form is not None and self.freshness.denies(form.subject, now)

    def left(self, ask: Ask, now: float) -> int | None:
        """Return how many instances a change leaves that settles, None while none does."""
        form = self.form(ask)
        change = None if form is None else self.freshness.settles(form.subject, now)
        if form is None or change is None:
            return None
        return sum(not form.tag or form.tag in one.tags for one in change.healthy)

    def settles(self, ask: Ask, now: float) -> bool:
        """Return whether an agent's answer may have to be corrected now."""
        form = self.form(ask)
        return form is not None and self.freshness.settles(form.subject, now) is not None

    def departed(self, ask: Ask, now: float) -> Departed | None:
        """Return who has left lately of what a question is about: who is behind still has them."""
        form = self.form(ask) if self.freshness.departures else None
        return None if form is None else self.freshness.departed(form.subject, now)

    def outdated(self, ask: Ask, message: Message, now: float) -> Departed | None:
        """Return who has left lately, if an agent's answer still has one of them."""
        departed = self.departed(ask, now)
        if departed is None:
            return None
        form = self.form(ask)
        if form is None or not departed.may_be_in(message.body, ask.qtype, form.tag):
            return None
        return departed if has_gone(departed.change, form, ask.question, message) else None

    def corrects(self, ask: Ask, message: Message, now: float) -> bool:
        """Return whether an agent's answer is to be corrected, as it has what left lately."""
        departed = self.outdated(ask, message, now)
        return departed is not None and departed.corrects

    def corrected(self, ask: Ask, message: Message, now: float) -> Message:
        """Return an agent's answer, without what just left and with what just came.

        Agents may be further behind than a change takes to settle: what they still have that left
        a while ago is taken out, too.
        """
        form = self.form(ask)
        if form is None:
            return message
        change = self.freshness.settles(form.subject, now)
        if change is not None:
            message = corrected(change, form, ask.question, message)
        departed = self.outdated(ask, message, now)
        if departed is None or not departed.corrects:
            return message
        sure = self.freshness.sure(departed, now)
        if sure is None:
            return message
        return corrected(departed.change, form, ask.question, message, sure)

    def drop(self, keys: Iterable[bytes], *, changed: bool) -> None:
        """Let these questions be asked again: at once if `changed`, else when their TTL is over."""
        entries = self._cache.entries
        now = self._clock.now()
        for key in keys:
            entry = entries.get(key)
            if entry is not None and entry.watched:
                # Where nothing has changed a watch may still tell of it before the TTL is over.
                entry.watched = not changed
                entry.expires_at = min(entry.expires_at, now if changed else entry.until)
                entry.cool()

    def proved(self, carrier: str, at: float) -> None:
        """Note that an agent heard of every change up to `at`."""
        self.freshness.proved(carrier, at, self._clock.now())
        self._look_again()

    def use(self, agents: Mapping[str, bool]) -> None:
        """Take note of the agents there are, and which are off this host.

        Nothing hangs on any other from now on.
        """
        given = self._given(lambda source: source not in agents)
        self.drop([*given, *self.freshness.use(agents, self._clock.now())], changed=False)
        if self.freshness.due:
            self.wake()

    def lost(self, carrier: str) -> None:
        """Note that an agent can carry no watches for now, nor is what it answered to be reused."""
        given = self._given(lambda source: source == carrier)
        self.drop([*given, *self.freshness.lost(carrier, self._clock.now())], changed=False)
        if self.freshness.due:
            self.wake()

    def _given(self, by: Callable[[str], bool]) -> list[bytes]:
        """Return the questions that hang on a watch and were answered by such an agent."""
        entries = self._cache.entries
        return [
            key
            for watch in self.freshness.watches.values()
            for key in (*watch.keys, *watch.denied)
            if key in entries and by(entries[key].source)
        ]

    def count(self, queries: int, now: float) -> None:
        """Note how many queries there have been: where hardly anybody asks, nothing is proved."""
        self.freshness.worth.count(queries, now)

    def tick(self, now: float) -> None:
        """End what has been of no use for long; called each second, or every few."""
        self.drop(self.freshness.idle(now), changed=False)
        if self.freshness.due:
            self.wake()

    def overdue(self, now: float) -> None:
        """Drop what hangs on agents that have not proved for too long that they hear of changes."""
        for carrier in self.freshness.expired(now):
            self.lost(carrier)
        self._look_again()

    def _look_again(self) -> None:
        ends_at = self.freshness.ends_at()
        self._warmth.keep_good(ends_at)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ends_at < float("inf"):
            now = self._clock.now()
            self._timer = self._loop.call_later(
                max(ends_at - now, 0.0), lambda: self.overdue(self._clock.now())
            )

    def close(self) -> None:
        """End every watch, and what is reused for it."""
        self.drop(self.freshness.clear(), changed=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._warmth.keep_good(float("inf"))
        self.wake()
