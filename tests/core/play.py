"""What the tests of the core share: ready-made upstreams and messages, and a player of transcripts.

A transcript has one line per event, what goes in on the left, what comes out on the right:

      0 start      | A                 an attempt to A over UDP
     10 timer      | B                 the timer went off when it was to: B is asked too
     11 B yes      | = yes of B        B's reply ends the lookup

Times are milliseconds since the start. `B/tcp` is the attempt to B over a stream. States that
change are told as `A suspect`; `...` is a timer after which nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import ClassVar

from consulfwd.core.attempts import MAX_ATTEMPTS, SPELLED, Attempt
from consulfwd.core.health import Health
from consulfwd.core.order import Budget
from consulfwd.core.query import Lookup
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.edns import Edns
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record
from consulfwd.dns.wire import Query

NAME = from_text("web.service.consul")
QUESTION = NAME + b"\0\1\0\1"
EPOCH = 1000.0
RTT = 0.001


def upstream(
    name: str, *, rtt: float = RTT, on_host: bool = True, transport: str = "udp"
) -> Upstream:
    """Return an upstream; those named R... are recursors. A measured one unless `rtt` is 0."""
    made = Upstream(
        name,
        "127.0.0.1",
        sum(name.encode()),
        is_agent=not name.startswith("R"),
        transport=transport,
        on_host=on_host,
    )
    if rtt:
        made.srtt, made.rttvar = rtt, 0.0
    return made


def query(
    name: str = "web.service.consul", qtype: int = const.A, *, qclass: int = const.IN,
    flags: int = const.RD, edns: Edns | None = None,
) -> Query:  # fmt: skip
    """Return a client's query; a name is spelled as given."""
    wire = from_text(name)
    question = wire + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    return Query(flags, question, wire.lower(), qtype, qclass, edns)


def edns(size: int = 1232, *, do: bool = False, version: int = 0, options: bytes = b"") -> Edns:
    return Edns(size, version, do, 0, options)


def address(last: int, ttl: int = 0, owner: bytes = NAME) -> bytes:
    return build_record(owner, const.A, ttl, bytes((10, 0, last >> 8, last & 255)))


def answer(count: int = 1, *, ttl: int = 0, opt: bool = True, flags: int = 0) -> Message:
    """Return a positive answer of so many addresses, with an OPT or without."""
    records = [address(number, ttl) for number in range(count)]
    return _sized(assemble_message(QUESTION, (records, [], []), flags=flags), opt)


def denial(rcode: int = const.NXDOMAIN, *, ttl: int = 0, minimum: int = 0) -> Message:
    """Return NXDOMAIN, or NODATA for NOERROR, with the SOA that allows to keep it."""
    rdata = b"\0\0" + bytes(16) + minimum.to_bytes(4, "big")
    soa = build_record(from_text("consul"), const.SOA, ttl, rdata)
    return _sized(assemble_message(QUESTION, ([], [soa], []), flags=0, rcode=rcode), True)


def failure(rcode: int) -> Message:
    """Return an error reply without records."""
    return _sized(assemble_message(QUESTION, ([], [], []), flags=0, rcode=rcode), False)


def _sized(message: Message, opt: bool) -> Message:
    message.size = 12 + len(QUESTION) + len(message.body) + (11 if opt else 0)
    message.edns = edns(65000) if opt else None
    return message


class Play:
    """A lookup with a fake clock. Its invariants are checked after every event."""

    REPLIES: ClassVar[dict[str, Callable[[], Message]]] = {
        "yes": answer, "no": denial, "nodata": lambda: denial(const.NOERROR), "cut": answer,
        "five": lambda: answer(5), "two": lambda: answer(2),
        "servfail": lambda: failure(const.SERVFAIL), "refused": lambda: failure(const.REFUSED),
        "formerr": lambda: failure(const.FORMERR),
    }  # fmt: skip

    def __init__(
        self,
        names: str = "A B C",
        *,
        budget: float = 100,
        deadline: float = 2.0,
        known: int = 0,
        returned: str = "",
        elsewhere: str = "",
        has_stale: bool = False,
        reverse: bool = False,
        kind: type[Lookup] = Lookup,
        **states: State,
    ) -> None:
        self.health = Health()
        self.plan = [upstream(name) for name in names.split()]
        for one in self.plan:
            one.state = states.get(one.name, State.UP)
            one.on_host = one.name not in elsewhere.split()
        for one in self.plan:
            # As one that came back a second ago.
            one.changed_at = EPOCH - 1 if one.name in returned else 0.0
        self.lookup = kind(
            self.plan,
            self.health,
            Budget(0.1, budget),
            now=EPOCH,
            deadline=EPOCH + deadline,
            known=known,
            has_stale=has_stale,
            reverse=reverse,
        )

    def attempt(self, label: str) -> Attempt:
        """Return the oldest open attempt to `label` (`A`, `A/tcp`), the newest for `A!`."""
        newest = label.endswith("!")
        label = label.rstrip("!")
        found = [one for one in self.lookup.attempts if not one.result and label == _label(one)]
        assert found, f"nothing was asked of {label}"
        return found[-1 if newest else 0]

    def do(self, at: float, event: str) -> str:
        """Let an event happen `at` so many milliseconds, and return what came of it as text."""
        lookup, health = self.lookup, self.health
        now = EPOCH + at / 1000
        before = lookup.outcome
        who, _, what = event.partition(" ")
        if who == "start":
            sent = lookup.start(now)
        elif who == "timer":
            assert before is None, "no timer is armed for a finished lookup"
            assert abs(lookup.wake_at - now) < 1e-5, f"due at {self.due:g} ms"
            now = lookup.wake_at
            sent = lookup.on_timer(now)
            assert lookup.outcome is not None or lookup.wake_at > now
        else:
            sent = self.happen(self.attempt(who), what, at)
        self.check()
        told = [_label(one) for one in sent]
        told += [f"{one.name} {new.value}" for one, _, new, _ in health.changes]
        health.changes.clear()
        if lookup.outcome is not before:
            assert before is None, "a lookup ends once"
            told.append(self.ending())
        return ", ".join(told) or "..."

    def happen(self, attempt: Attempt, what: str, at: float) -> list[Attempt]:
        """Let something become of an attempt, and return what is sent then."""
        now = EPOCH + at / 1000
        if what == "stray":
            sent = self.lookup.on_stray(attempt, "a false reply", now)
        elif what == "respelled":
            sent = self.lookup.on_stray(attempt, SPELLED, now)
        elif what in self.REPLIES:
            sent = self.lookup.on_reply(attempt, self.REPLIES[what](), what == "cut", now)
        else:
            sent = self.lookup.on_failure(attempt, what, now, refused=what == "gone")
        self.check()
        return sent

    @property
    def due(self) -> float:
        """When the timer is to go off, in milliseconds."""
        return (self.lookup.wake_at - EPOCH) * 1000

    def ending(self) -> str:
        """Return the outcome as text."""
        outcome = self.lookup.outcome
        assert outcome is not None
        message = outcome.message
        if message is None:
            return f"= nothing ({outcome.ede}): {outcome.reason}"
        assert outcome.upstream is not None
        what = "yes" if message.positive else "no" if message.negative else "an error"
        cut = ", cut" if message.truncated else ""
        return f"= {what} of {outcome.upstream.name}{cut}"

    def check(self) -> None:
        """Check what must hold after every event."""
        lookup = self.lookup
        waiting = [one for one in lookup.attempts if not one.result]
        assert lookup._open == len(waiting)
        assert len(lookup.attempts) <= MAX_ATTEMPTS
        assert lookup.wake_at <= lookup.deadline
        assert all(one.took is not None and one.took >= 0 for one in lookup.attempts if one.result)


def _label(attempt: Attempt) -> str:
    return attempt.upstream.name + ("/tcp" if attempt.stream else "")


def played(transcript: str, play: Play) -> list[str]:
    """Return the transcript with what really came out on the right."""
    lines = []
    for line in script(transcript):
        left = line.partition("|")[0].rstrip()
        at, event = left.split(maxsplit=1)
        lines.append(f"{left} | {play.do(float(at), event)}")
    return lines


def script(transcript: str) -> list[str]:
    """Return the lines of a transcript, the space before the bar taken out."""
    lines = dedent(transcript).strip("\n").splitlines()
    return [" | ".join(part.strip() for part in line.split("|")) for line in lines]
