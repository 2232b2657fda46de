"""A pattern looked for in a text that comes piece by piece, in time linear in the text.

What belongs here: the pattern as a machine of sets, run as they are met (Thompson's construction,
its sets of states kept as one state each). Must not know: where the text comes from. Pure. It never
goes back, so whoever writes the text cannot make it take long: 64 KB take 4 ms, and where every
octet leads to a set that was not met before, `config.patterns.MOST` bounds what one costs (50 us).
"""

from __future__ import annotations

from consulfwd.config.patterns import Either, End, One, Part, Repeat, Row, Start, parse

# Before the first octet, and after the last.
_START, _END = 256, 257
_EVERYTHING = frozenset(range(257))
# So many steps are kept; then they are forgotten, all of them.
KEPT = 20_000


class _State(dict[int, "_State"]):
    """A set of places in the pattern, with what follows by octet."""

    __slots__ = ("found", "places")

    def __init__(self, places: frozenset[int], found: bool) -> None:
        super().__init__()
        self.places = places
        self.found = found


class Automaton:
    """A pattern, ready to be looked for. Raises BadValue, as `config.patterns.parse` does."""

    def __init__(self, text: str) -> None:
        # By place: the octets that lead on from it, or None where nothing is needed, and where to.
        self._octets: list[frozenset[int] | None] = []
        self._to: list[list[int]] = []
        self._found = self._place(None)
        self._first = self._place(None)
        # What comes before it is anything.
        skip = self._place(_EVERYTHING, self._first)
        self._to[self._first] += [skip, self._made(parse(text), self._found)]
        self._states: dict[frozenset[int], _State] = {}
        self._kept = 0

    def _place(self, octets: frozenset[int] | None, *to: int) -> int:
        self._octets.append(octets)
        self._to.append([*to])
        return len(self._to) - 1

    def _made(self, part: Part, to: int) -> int:
        """Add a part that leads on `to` a place, and return where it begins."""
        if isinstance(part, One):
            return self._place(part.octets, to)
        if isinstance(part, Start | End):
            return self._place(frozenset([_START if isinstance(part, Start) else _END]), to)
        if isinstance(part, Row):
            for one in reversed(part.parts):
                to = self._made(one, to)
            return to
        if isinstance(part, Either):
            return self._place(None, *(self._made(one, to) for one in part.parts))
        return self._repeated(part, to)

    def _repeated(self, part: Repeat, to: int) -> int:
        if part.most is None:
            again = self._place(None, to)
            self._to[again].append(self._made(part.part, again))
            to = again
        else:
            for _ in range(part.most - part.least):
                to = self._place(None, to, self._made(part.part, to))
        for _ in range(part.least):
            to = self._made(part.part, to)
        return to

    def first(self) -> _State:
        """Return the state before the first octet."""
        return self.step(self._state({self._first}), _START)

    def step(self, state: _State, octet: int) -> _State:
        """Return the state after an octet, and keep it for the next time."""
        to: set[int] = set()
        for place in state.places:
            octets = self._octets[place]
            if octets is not None and octet in octets:
                to.update(self._to[place])
        following = self._state(to)
        if self._kept >= KEPT:
            self._forget()
        self._kept += 1
        state[octet] = following
        return following

    def _forget(self) -> None:
        for one in self._states.values():
            one.clear()
        self._states.clear()
        self._kept = 0

    def _state(self, begun: set[int]) -> _State:
        """Return the state of these places, and all that they lead to without an octet."""
        seen = set(begun)
        left = list(begun)
        while left:
            place = left.pop()
            if self._octets[place] is None:
                new = set(self._to[place]) - seen
                seen |= new
                left += new
        places = frozenset(one for one in seen if self._octets[one] is not None)
        key = places | {self._found} if self._found in seen else places
        if key not in self._states:
            self._states[key] = _State(places, self._found in seen)
        return self._states[key]


class Search:
    """One text in which a pattern is looked for; `found` says whether it was."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._state = automaton.first()
        self.found = self._state.found

    def feed(self, octets: bytes) -> None:
        """Go on with what comes next."""
        state, step = self._state, self._automaton.step
        for octet in octets:
            if state.found:
                break
            following = state.get(octet)
            state = step(state, octet) if following is None else following
        self._state = state
        self.found = self.found or state.found

    def end(self) -> None:
        """Go on with the end of the text."""
        self.found = self.found or self._automaton.step(self._state, _END).found
