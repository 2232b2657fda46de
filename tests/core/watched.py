"""A player of transcripts for `core.freshness`: what is told on the left, what follows behind it.

    0   yes web         | ...               an answer came, with records: nothing follows
    1   yes web         | web at A          asked again: watched at A
    1.1 armed web 3     | ...               the watch saw three instances
    2   yes web         | 10 s              the answer may be reused for ten seconds
    3   changed web 2   | drop web          answers are to be asked for again

Times are seconds. `yes`, `no` (no such name) and `nodata` are answers to a question, `web` or
`web/AAAA`; `v1.web` asks for a tag. `sent 1.5` behind it says when it was asked for, else at that
moment, and `by A` which agent gave it. `0 s` is an answer not to be kept at all, `ttl` one that
is kept by its own TTL, nothing where nothing is watched. `web ends` is a watch that is to stop.
`there A B*` says which agents there are, B off this host; `at B apart` is not at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import dedent

from consulfwd.core.carriers import WatchLimits
from consulfwd.core.freshness import NEGATIVE_SHARE, Freshness
from consulfwd.core.interest import MAX_SEEN
from consulfwd.core.proofs import LIFE
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import MAX_DENIED, MAX_KEYS
from consulfwd.dns import const

EPOCH = 1000.0


def subject_for(question: str) -> Subject:
    """The subject of a question such as `v1.web/AAAA`."""
    return Subject("service", question.partition("/")[0].rpartition(".")[2])


class Play:
    """Freshness with a fake clock. Its invariants are checked after every event."""

    def __init__(self, agents: str = "A B", *, most: int = 128, settle: float = 0.5) -> None:
        self.freshness = Freshness(WatchLimits(most, settle))
        self.agents = agents.split()
        self.there: Sequence[str] | None = None
        # Whose proofs the shell was told to begin with.
        self.begun: list[str] = []
        # Until when each proved that it heard, and when it did so.
        self.proved: dict[str, tuple[float, float]] = {}
        self.placed: dict[Subject, str] = {}
        # What the shell reuses: until when, by question.
        self.reused: dict[str, float] = {}

    def do(self, at: float, event: str) -> str:
        """Let an event happen, and return what came of it as text."""
        now = EPOCH + at
        what, *words = event.split()
        self.dropped: list[str] = []
        told = self._answered(now, what, words) if what in ("yes", "no", "nodata") else ""
        answered = what in ("yes", "no", "nodata")
        dropped = self.dropped if answered else self._told(now, what, words)
        said = self._commands() + ([told] if told else [])
        if dropped:
            said.append("drop " + ", ".join(sorted(dropped)))
        self.check(now)
        return "; ".join(said) or "..."

    def _answered(self, now: float, what: str, words: Sequence[str]) -> str:
        question = words[0]
        subject = subject_for(question)
        positive = what == "yes"
        how = dict(zip(words[1::2], words[2::2], strict=True))
        sent_at = EPOCH + float(how["sent"]) if "sent" in how else now
        self.dropped = [
            key.decode()
            for key in self.freshness.asked(subject, self.agents, now, positive=positive)
        ]
        for one in self.dropped:
            self.reused.pop(one, None)
        seconds = self.freshness.stored(
            subject,
            question.encode(),
            positive=positive,
            sent_at=sent_at,
            now=now,
            source=how.get("by", ""),
            denied=what == "no",
            tag=question.partition(".")[0] if "." in question else "",
            qtype=const.A,
            records=int(how.get("records", 1000)),
        )
        self.reused.pop(question, None)
        if seconds:
            self._reuse(question, how.get("by", ""), sent_at, now, seconds)
            return f"{seconds:g} s"
        if seconds is not None:
            return "0 s"
        return "ttl" if subject in self.freshness.watches else ""

    def _reuse(
        self, question: str, source: str, sent_at: float, now: float, seconds: float
    ) -> None:
        """Nothing is reused but under an armed watch of a proven agent, once all has settled."""
        watch = self.freshness.watches[subject_for(question)]
        assert watch.armed
        assert now - self.freshness.proofs[watch.carrier] < LIFE
        assert sent_at >= watch.changed_at + self.freshness.rules.settle
        if source not in ("", watch.carrier):
            # Who gave it had proved before that it knew of the last change.
            heard_of, when = self.proved[source]
            assert heard_of >= watch.changed_at
            assert when <= sent_at
        self.reused[question] = now + seconds

    def _told(self, now: float, what: str, words: Sequence[str]) -> list[str]:
        freshness = self.freshness
        if what == "proved":
            self.proved[words[0]] = EPOCH + float(words[1]) if len(words) > 1 else now, now
            freshness.proved(words[0], EPOCH + float(words[1]) if len(words) > 1 else now, now)
            return []
        if what == "overdue":
            keys = [key for one in freshness.expired(now) for key in freshness.lost(one, now)]
        elif what in ("idle", "clear"):
            keys = freshness.idle(now) if what == "idle" else freshness.clear()
        elif what == "crowded":
            keys = freshness.crowded(words[0], now)
        elif what == "there":
            self.there = [word.rstrip("*") for word in words]
            agents = {word.rstrip("*"): word.endswith("*") for word in words}
            keys = freshness.use(agents, now)
        elif what == "lost":
            keys = freshness.lost(words[0], now)
        else:
            keys = self._of_watch(now, what, words)
        dropped = [key.decode() for key in keys]
        for one in dropped:
            self.reused.pop(one, None)
        return dropped

    def _of_watch(self, now: float, what: str, words: Sequence[str]) -> list[bytes]:
        """What a watch tells: `armed web 3 1` has three instances, one of them healthy.

        `at A` in front of the rest tells who says so, else it is who carries it.
        """
        subject = subject_for(words[0])
        words = list(words[1:])
        carrier = self.placed.get(subject, "A")
        if words[:1] == ["at"]:
            carrier = words[1]
            del words[:2]
        if what == "failed":
            return self.freshness.failed(subject, carrier, now)
        if what == "doubted":
            return self.freshness.doubted(subject, carrier, now)
        note = self.freshness.armed if what == "armed" else self.freshness.changed
        size, *healthy = map(int, words)
        return note(subject, carrier, now, size=size, healthy=healthy[0] if healthy else size)

    def _commands(self) -> list[str]:
        said = []
        for subject, carrier, apart in self.freshness.commands:
            self.placed.pop(subject, None)
            if carrier is not None:
                self.placed[subject] = carrier
            at = f"{subject.name} at {carrier}{' apart' if apart else ''}"
            said.append(at if carrier else f"{subject.name} ends")
        self.freshness.commands.clear()
        begin = self.freshness.carriers.proofs.begin
        self.begun += begin
        begin.clear()
        return said

    def check(self, now: float) -> None:
        """Check what must hold after every event."""
        freshness = self.freshness
        watches = freshness.watches
        most = freshness.rules.max
        # Whoever did all that was commanded watches what is to be watched, where it is to be.
        assert self.placed == {one.subject: one.carrier for one in watches.values()}
        load = freshness.carriers.load
        assert load == Counter(self.placed.values())
        assert freshness.carried() == set(self.placed.values())
        assert len(watches) <= most
        assert all(held <= freshness.carriers.most(name) for name, held in load.items())
        negative = [one for one in watches.values() if one.negative]
        assert len(negative) <= max(most // NEGATIVE_SHARE, 1)
        assert not freshness.barred & freshness.carried()
        assert not freshness.barred & set(freshness.proofs)
        # Who is asked for proofs is so because somebody needs them.
        proofs = freshness.carriers.proofs
        for name in self.begun:
            assert self.there is None or name in self.there or not proofs.wanted(name, now)
        assert len(freshness._seen.interests) <= MAX_SEEN
        assert len(freshness._seen.resting) <= MAX_SEEN
        assert not set(watches) & set(freshness._seen.interests)
        for watch in watches.values():
            assert watch.carrier in watch.candidates
            assert self.there is None or watch.carrier in self.there
            assert len(watch.keys) <= MAX_KEYS
            assert len(watch.denied) <= MAX_DENIED
            assert not set(watch.keys) & set(watch.denied)
        for question, until in self.reused.items():
            if until > now:
                self._check_reused(question, now)

    def _check_reused(self, question: str, now: float) -> None:
        """What is reused will be dropped: by a change, or when its agent's proof is too old."""
        watch = self.freshness.watches[subject_for(question)]
        assert watch.armed
        assert question.encode() in {*watch.keys, *watch.denied}
        assert watch.carrier in self.freshness.proofs
        assert self.freshness.carriers.proofs.wanted(watch.carrier, now)


def played(transcript: str, play: Play) -> list[str]:
    """Return the transcript with what really came out on the right."""
    lines = []
    for line in script(transcript):
        left = line.partition("|")[0].rstrip()
        at, event = left.split(maxsplit=1)
        lines.append(f"{left} | {play.do(float(at), event)}")
    return lines


def script(transcript: str) -> list[str]:
    """Return the lines of a transcript, spaces before the bar taken out, comments left out."""
    lines = [line.partition("#")[0] for line in dedent(transcript).strip("\n").splitlines()]
    parts = [[" ".join(part.split()) for part in line.split("|")] for line in lines if line.strip()]
    return [" | ".join(part) for part in parts]
