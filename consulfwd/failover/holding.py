"""Why states are held, and that it is told once: our own line, a target that cannot be checked, too
few checkers that are heard.

Must not know: what is answered. Pure: moments are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from consulfwd.failover.line import Line
from consulfwd.failover.model import IP, Outcome, Result


class Target(NamedTuple):
    """What is checked: an address of a record."""

    name: str
    ip: IP


class Told(NamedTuple):
    """What is to be told: of a record ("" is all), "held" or "released", in words."""

    name: str
    kind: str
    said: str


class Holding:
    """What is held at present, of these targets; `longest` is their longest interval (seconds)."""

    def __init__(
        self, targets: Iterable[Target], longest: float, routed: Callable[[], bool]
    ) -> None:
        self._line = Line(routed)
        self._line.expect(set(targets), 2 * longest)
        self._longest = longest
        self._blind: set[Target] = set()
        self._cut = self._silence = ""

    def take_over(self, before: Holding) -> None:
        """Go on where another one is, of other targets."""
        self._line.take_over(before._line)
        self._blind = {one for one in before._blind if self._line.blind(one) is not None}
        self._cut, self._silence = before._cut, before._silence

    @property
    def everything(self) -> str:
        """Why the states of all records are held, "" if they are not."""
        return self._cut or self._silence

    def of(self, name: str, ips: Iterable[IP]) -> str:
        """Return why states of a record are held."""
        for ip in () if self.everything else ips:
            known = self._line.blind(Target(name, ip))
            if known is not None and Target(name, ip) in self._blind:
                return f"{ip} cannot be checked: {known[1]}"
        return self.everything

    def judged(self, target: Target, outcome: Outcome, now: float) -> Outcome:
        """Return what a check came to in the light of all others."""
        return self._line.judged(target, target.ip, outcome, now)

    def checked(self, target: Target, outcome: Outcome, now: float) -> list[Told]:
        """Return what is to be told once that is noted."""
        told = []
        bad = outcome.result is not Result.OK
        cut = self._line.cut if self._cut or bad else ""
        if cut and not self._cut:
            told.append(Told("", "held", f"nothing can be checked, all states are held: {cut}"))
        elif self._cut and not cut:
            told.append(Told("", "released", "targets can be checked again"))
        self._cut = cut
        name, ip = target
        blind = self._line.blind(target)
        if blind is None and target in self._blind:
            self._blind.discard(target)
            told.append(Told(name, "released", f"{name}: {ip} can be checked again"))
        elif blind is None or cut or target in self._blind:
            pass
        # Not before all the others had their turn: it may be the line.
        elif now - blind[0] >= self._longest:
            self._blind.add(target)
            said = f"{name}: {ip} cannot be checked, its state is held: {blind[1]}"
            told.append(Told(name, "held", said))
        return told

    def heard(self, who: Iterable[str], quorum: int, members: int) -> list[Told]:
        """Return what is to be told where these checkers are heard, and so many must agree."""
        names = sorted(who)
        before, self._silence = self._silence, ""
        if len(names) < quorum:
            listed = ", ".join(names) or "nobody"
            self._silence = f"of {members} checkers only {listed} is heard, {quorum} must agree"
            return [] if before else [Told("", "held", f"all states are held: {self._silence}")]
        return [Told("", "released", "enough checkers are heard again")] if before else []
