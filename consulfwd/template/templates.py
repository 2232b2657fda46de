"""Templates of any kind and where their text goes: rendered until nothing is missing, made jobs.

What belongs here: how TEMPLATE:DEST:COMMAND is read, the rounds between rendering and finding out,
what becomes of a template that fails. Must not know how Consul is asked, nor how files are
replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from consulfwd.apply.change import Applied
from consulfwd.apply.commands import shell
from consulfwd.apply.jobs import File, Job
from consulfwd.apply.places import Links
from consulfwd.apply.steps import apply_all
from consulfwd.consul.facts import Fact
from consulfwd.errors import ApplyError, ConsulError, TemplateError, UsageError
from consulfwd.template.functions import MOST_FACTS, Functions
from consulfwd.template.renderer import Renderer

# A lock's holder takes three: the key, its session, the session's node.
ROUNDS = 10
_TOO_MANY = (
    f"more than {MOST_FACTS} things are asked of Consul by this template and those before it"
    " (have another consulfwd render it)"
)

RenderFault = TemplateError | ConsulError


class Follower(Protocol):
    """Who finds out, and goes on finding out (see `consul.following`)."""

    known: dict[Fact, Any]
    faults: dict[Fact, ConsulError]

    def want(self, facts: Iterable[Fact]) -> None:
        """Follow these facts from now on, and forget all others."""

    async def ready(self) -> None:
        """Return when every wanted fact is known, or no agent could be asked for it."""


class Destination(NamedTuple):
    """A template, the file its text goes to, and the shell command after that ("" is none)."""

    template: Path
    path: Path
    command: str = ""


def destination(written: str) -> Destination:
    r"""Return what TEMPLATE:DEST[:COMMAND] says. Raises UsageError.

    A colon in one of the paths is written \: and a backslash before a colon \\. What follows the
    second colon is the command, colons and backslashes and all.
    """
    parts, rest = [""], written
    while rest and len(parts) < 3:
        if rest[0] == "\\" and rest[1:2] in (":", "\\"):
            parts[-1] += rest[1]
            rest = rest[2:]
            continue
        if rest[0] == ":":
            parts.append("")
        else:
            parts[-1] += rest[0]
        rest = rest[1:]
    if len(parts) < 2 or not parts[0] or not parts[1]:
        raise UsageError(rf"{written!r} is not TEMPLATE:DEST[:COMMAND] (a colon in a path: \:)")
    if len(parts) == 3 and not rest.strip():
        raise UsageError(f"{written!r}: the command is empty")
    return Destination(Path(parts[0]), Path(parts[1]), rest)


@dataclass(frozen=True)
class Unrendered(Job):
    """Stands for a file whose text cannot be made: what stands there stays."""

    why: str = ""


class Templates:
    """Templates, and what is known for them; `links` is for all places they go to.

    When they were last rendered, each `asked` for this, and was `given` so many instances (see
    `Functions`).
    """

    def __init__(self, destinations: Sequence[Destination], links: Links = "refuse") -> None:
        self.destinations = tuple(destinations)
        self._links = links
        self.asked: dict[Destination, set[Fact]] = {}
        self.given: dict[Destination, dict[str, int]] = {}
        self._functions = Functions()
        folders = dict.fromkeys(one.template.parent for one in destinations)
        self._renderer = Renderer(list(folders), free=True, names=self._functions.names())
        # What each asked for when it was last whole; one that fails may have asked for a part.
        self._whole: dict[Destination, set[Fact]] = {}

    async def texts(self, known: Follower) -> dict[Destination, str | RenderFault]:
        """Return the text of each, or why there is none."""
        for _ in range(ROUNDS):
            texts: dict[Destination, str | RenderFault] = {}
            missing: set[Fact] = set()
            wanted: set[Fact] = set()
            for one in self.destinations:
                texts[one] = self._render(one, known.known)
                asked, unknown = self._functions.asked, self._functions.missing
                self.asked[one], self.given[one] = asked, self._functions.given
                if len(wanted | asked) > MOST_FACTS:
                    # What one asks for alone is told with the line.
                    if len(asked) <= MOST_FACTS:
                        texts[one] = TemplateError(str(one.template), None, _TOO_MANY)
                    asked, unknown = set(), set()
                if unknown:
                    fault = next((known.faults[f] for f in unknown if f in known.faults), None)
                    text = TemplateError(str(one.template), None, "asks for ever more of Consul")
                    texts[one] = text if fault is None else fault
                    missing |= {fact for fact in unknown if fault is None}
                elif isinstance(texts[one], str):
                    self._whole[one] = asked
                wanted |= asked
                whole = self._whole.get(one, set())
                if not isinstance(texts[one], str) and len(wanted | whole) <= MOST_FACTS:
                    wanted |= whole
            known.want(wanted)
            if not missing:
                break
            await known.ready()
        return texts

    def jobs(self, texts: Mapping[Destination, str | RenderFault]) -> list[Job]:
        """Return what is to be brought into force: one job for each file."""
        return [self._job(one, text) for one, text in texts.items()]

    def _job(self, one: Destination, text: str | RenderFault) -> Job:
        reload = (shell(one.command),) if one.command else ()
        if isinstance(text, str):
            return Job((File(one.path, text, self._links),), reload=reload)
        return Unrendered((File(one.path, "", self._links),), why=str(text))

    def _render(self, one: Destination, known: Mapping[Fact, Any]) -> str | RenderFault:
        self._functions.begin(known)
        try:
            return self._renderer.render_file(one.template, {})
        except TemplateError as error:
            return error


def apply(jobs: Sequence[Job]) -> list[tuple[Job, Applied | ApplyError]]:
    """Apply those jobs that have a text, and say of the others why they have none."""
    done = iter(apply_all([job for job in jobs if not isinstance(job, Unrendered)]))
    results: list[tuple[Job, Applied | ApplyError]] = []
    for job in jobs:
        if isinstance(job, Unrendered):
            what = "cannot be rendered, and stays as it is"
            results.append((job, ApplyError(job.where, what, output=job.why)))
        else:
            results.append(next(done))
    return results
