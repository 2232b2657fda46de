"""What happened while something was broken, and what it comes to in figures.

Pure: what was recorded goes in, figures come out, and a file of either form. Times are seconds of
the monotonic clock; in a file they count from the beginning of the story.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.e2e.client import Done

# A look-up that takes longer would have made most programs wait visibly.
SLOW_S = 1.0


@dataclass(frozen=True)
class Mark:
    """Something that was done to the site, or seen of it."""

    at: float
    text: str


@dataclass(frozen=True)
class Connected:
    """Whether one of Icinga's masters writes to the database, as it said `at` a time.

    `active` is False for the one that leaves that to the other.
    """

    at: float
    host: str
    active: bool
    connected: bool


@dataclass
class Story:
    """One scenario from its beginning to its end; `done` is what each way's client did.

    `lost` is, by way, how many rows were acknowledged and are not there. `bad` is the address
    that is not to be given between the marks `harmed` and `mended`, "" if there is none.
    """

    name: str
    title: str
    begin: float
    end: float = 0.0
    bad: str = ""
    harmed: float = 0.0
    mended: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    done: dict[str, list[Done]] = field(default_factory=dict)
    icinga: list[Connected] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)

    def within(self, way: str, *what: str) -> list[Done]:
        """What a client did of these kinds, that began in this story."""
        return [
            one for one in self.done[way] if one.what in what and self.begin <= one.at <= self.end
        ]

    def late(self, way: str, one: Done) -> float:
        """For how many seconds of one thing a client did it was on no core, as far as it knows."""
        end = one.at + one.took
        spans = [
            (max(other.at, one.at), min(other.at + other.took, end))
            for other in self.done[way]
            if other.what == "late"
        ]
        return sum(after - before for before, after in spans if after > before)

    # -- files --------------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Keep it as a file named after it."""
        folder.mkdir(parents=True, exist_ok=True)
        done = {
            way: [_moved(one, -self.begin) for one in self.within(way, "name", "outside", "row")]
            for way in self.done
        }
        kept = replace(
            self,
            begin=0.0,
            end=self.end - self.begin,
            marks=[_moved(one, -self.begin) for one in self.marks],
            icinga=[_moved(one, -self.begin) for one in self.icinga],
            done=done,
            harmed=round(self.harmed - self.begin, 4) if self.harmed else 0.0,
            mended=round(self.mended - self.begin, 4) if self.mended else 0.0,
        )
        text = json.dumps(asdict(kept), separators=(",", ":"))
        (folder / f"{self.name}.json").write_text(text + "\n")

    @classmethod
    def read(cls, file: Path) -> Story:
        """What `write` kept."""
        found: dict[str, Any] = json.loads(file.read_text())
        found["marks"] = [Mark(**one) for one in found["marks"]]
        found["icinga"] = [Connected(**one) for one in found["icinga"]]
        found["done"] = {
            way: [Done(**{**one, "answer": tuple(one["answer"])}) for one in those]
            for way, those in found["done"].items()
        }
        return cls(**found)


def _moved(one: Any, by: float) -> Any:
    more = {"took": round(one.took, 4)} if isinstance(one, Done) else {}
    return replace(one, at=round(one.at + by, 4), **more)


@dataclass(frozen=True)
class Figures:
    """What a story comes to for one way of resolving.

    `lookups` of both names were made, `errors` of them failed, `slow` took longer than SLOW_S;
    the slowest took `slowest` seconds. The bad node was last given `left` seconds after the harm,
    and first given again `back` seconds after it was mended (None where that is not asked or did
    not happen). `rows` were written, `refused` attempts failed; for `pause` seconds at most no
    row was. `lost` rows are not there.
    """

    lookups: int
    errors: int
    slow: int
    slowest: float
    left: float | None
    back: float | None
    rows: int
    refused: int
    pause: float
    lost: int


def figures(story: Story, way: str) -> Figures:
    """Sum up what one way's client saw."""
    lookups = story.within(way, "name", "outside")
    writes = story.within(way, "row")
    written = [one.at + one.took for one in writes if not one.error]
    given = [
        one.at + one.took
        for one in story.within(way, "name")
        if story.bad and story.bad in one.answer
    ]
    left = [at for at in given if story.harmed < at <= (story.mended or story.end)]
    back = [at for at in given if story.mended and at > story.mended]
    return Figures(
        lookups=len(lookups),
        errors=sum(bool(one.error) for one in lookups),
        slow=sum(one.took > SLOW_S for one in lookups),
        slowest=max((one.took for one in lookups), default=0.0),
        left=left[-1] - story.harmed if left else None,
        back=back[0] - story.mended if back else None,
        rows=len(written),
        refused=sum(bool(one.error) for one in writes),
        pause=_longest(story.begin, written, story.end),
        lost=story.lost.get(way, 0),
    )


def outage(story: Story) -> float:
    """For how many seconds no master of Icinga's wrote to the database, at most at once."""
    good = sorted(one.at for one in story.icinga if one.active and one.connected)
    return _longest(story.begin, good, story.end)


def _longest(begin: float, good: Sequence[float], end: float) -> float:
    """The longest time without anything good."""
    times = [begin, *good, end]
    return max(after - before for before, after in itertools.pairwise(times))


WAYS = {
    "agent": "resolv.conf, one agent",
    "bind": "resolv.conf, three BINDs",
    "consulfwd": "consulfwd",
}


def table(stories: Iterable[Story]) -> str:
    """The figures of stories as a table for people (Markdown)."""
    head = (
        "What breaks",
        "Resolving by",
        "Look-ups",
        "Failed",
        "Over 1 s",
        "Slowest",
        "Bad node given for",
        "Back after",
        "Rows",
        "Longest pause",
        "Lost",
        "Icinga's gap",
    )
    lines = [head, tuple("---" if n < 2 else "--:" for n in range(len(head)))]
    for story in stories:
        for n, (way, text) in enumerate(WAYS.items()):
            found = figures(story, way)
            lines.append(
                (
                    story.title if not n else "",
                    text,
                    str(found.lookups),
                    str(found.errors),
                    str(found.slow),
                    f"{found.slowest:.2f} s",
                    "" if found.left is None else f"{found.left:.1f} s",
                    "" if found.back is None else f"{found.back:.1f} s",
                    str(found.rows),
                    f"{found.pause:.1f} s",
                    str(found.lost),
                    f"{outage(story):.1f} s" if not n else "",
                )
            )
    return "\n".join(f"| {' | '.join(one)} |" for one in lines)
