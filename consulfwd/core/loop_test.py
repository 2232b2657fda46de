"""Loop tests: does what an upstream is asked come back to this server?

What is asked, where whoever leads back stands in the settings, and what follows from a reply.
When to test whom is `net.loops`' to say. Must not know clocks, sockets or chance: the token that
makes a name nobody can guess is passed in.
"""

from __future__ import annotations

from consulfwd.core.attempts import SPELLED, Attempt
from consulfwd.core.probe import Probe
from consulfwd.core.routes import Kind, Routes
from consulfwd.core.upstreams import Upstream
from consulfwd.core.verdict import ANSWERS
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.dns.names import from_text

# How long (seconds) after it was asked a name is taken for a test that came back.
EXPIRES = 10.0
MAX_NAME = 255
_LABEL = b"consulfwd-loop-"
_SERVICE = b"\x07service"
# Resolvers are to give this domain no treatment of its own (RFC 6761 section 6.5), so that the test
# takes the way of all other names. Many answer invalid, test, local, home.arpa themselves, and
# sites have servers of their own for internal.
_OUTSIDE = from_text("example")


def name_for(upstream: Upstream, routes: Routes, token: bytes) -> bytes | None:
    """Return what to ask an upstream for (wire format, folded), as it would be asked anyway.

    None if it is not asked for anything, or if a name in its zone would be too long.
    """
    found = sorted(routes.asking(upstream), key=lambda one: one[0].kind is not Kind.RECURSE)
    if not found:
        return None
    route, _ = found[0]
    zone = route.zone
    if route.kind is Kind.RECURSE:
        zone = _OUTSIDE
    elif route.kind is Kind.CONSUL:
        zone = _SERVICE + zone
    label = _LABEL + token
    name = bytes((len(label),)) + label + zone
    return name if len(name) <= MAX_NAME else None


def places(upstream: Upstream, routes: Routes) -> str:
    """Return where it stands in the settings, for a message that says where to take it out."""
    found: dict[str, None] = {}
    for route, group in routes.asking(upstream):
        if route.kind is Kind.RECURSE:
            found["recursors (or resolv.conf)"] = None
        elif route.kind is Kind.FORWARD:
            found["forward"] = None
        else:
            found["consul.agents" if group.label == "agents" else "consul.datacenters"] = None
    return ", ".join(found)


class LoopTest(Probe):
    """A question for a name of its own. `seen` is set when it arrived here.

    A reply shows that an upstream leads elsewhere only if it is one about the name: another server
    that found the same loop answers with an error.
    """

    __slots__ = ("seen",)

    seen: bool

    def start(self, now: float, *, edns: bool | None = None) -> list[Attempt]:
        """Return the one attempt."""
        self.seen = self.of_edns = False
        attempt = self._send(now, "loop test")
        self._arm(self.deadline)
        return [attempt]

    def on_reply(self, attempt: Attempt, message: Message, cut: bool, now: float) -> list[Attempt]:
        """Take an answer as a sign that it leads elsewhere, unless the question came back."""
        self._ended(attempt, const.rcode_text(message.rcode), now - attempt.sent_at)
        if not attempt.upstream.is_agent:
            self._heed_edns(attempt, message, now)
        if not self.seen and message.rcode in ANSWERS:
            self._health.unlooped(attempt.upstream, now)
        return [] if self.outcome is not None else self._finish(message, attempt.upstream)

    def on_failure(
        self, attempt: Attempt, reason: str, now: float, *, refused: bool, ours: bool = False
    ) -> list[Attempt]:
        """End: nothing is known."""
        self._ended(attempt, reason, now - attempt.sent_at)
        return [] if self.outcome is not None else self._fail(const.EDE_NETWORK, reason)

    def on_stray(self, attempt: Attempt, reason: str, now: float) -> list[Attempt]:
        """Ignore a false reply, but not too many."""
        attempt.strays += 1
        if not attempt.result and (self._besieged() or reason == SPELLED):
            return self.on_failure(attempt, reason, now, refused=False)
        return []

    def on_timer(self, now: float) -> list[Attempt]:
        """End: no reply came."""
        if self.outcome is None:
            return self._fail(const.EDE_NETWORK, "no reply to a loop test")
        return []


class Tests:
    """The tests under way, found by the names they ask for."""

    __test__ = False

    def __init__(self) -> None:
        self._by_name: dict[bytes, LoopTest] = {}

    def add(self, name: bytes, test: LoopTest) -> None:
        """Know a test by its name until it expires."""
        expired = [
            old
            for old, one in self._by_name.items()
            if test.started_at - one.started_at >= EXPIRES
        ]
        for old in expired:
            del self._by_name[old]
        self._by_name[name] = test

    def find(self, name: bytes, now: float) -> LoopTest | None:
        """Return the test that asks for a name (folded), unless that was too long ago."""
        test = self._by_name.get(name)
        return test if test is not None and now - test.started_at < EXPIRES else None
