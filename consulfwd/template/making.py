"""What is made sure of before a text replaces a file.

What belongs here: nothing that is seen for the first time, limits of a user's own, and what is told
of them. How templates become texts is in `templates`, what a limit is in `guards`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consulfwd.apply.jobs import File
from consulfwd.apply.places import installed
from consulfwd.consul.facts import Fact
from consulfwd.consul.following import Following
from consulfwd.errors import ApplyError, ConsulError, TemplateError
from consulfwd.template.functions import MOST_FACTS, NEARLY
from consulfwd.template.guards import Guards
from consulfwd.template.templates import Destination, RenderFault, Templates

Texts = dict[Destination, str | RenderFault]


class Making:
    """Makes texts of templates that may be written. `tell` is told what else there is to know."""

    def __init__(self, templates: Templates, guards: Guards, tell: Callable[[str], None]) -> None:
        self._templates = templates
        self._guards = guards
        self._tell = tell
        self._many = False
        # How many instances there were in each list of the text that was last accepted.
        self._accepted: dict[Destination, Mapping[str, int]] = {}

    async def texts(self, following: Following) -> Texts:
        """Return the text of each template, or why there is none to be written."""
        templates = self._templates
        texts = await templates.texts(following)
        doubted = self._doubted(texts, following)
        if doubted:
            # Nothing, of which it is not known what was before: it may be a token's fault, or an
            # agent's that just started.
            await following.confirm({fact for facts in doubted.values() for fact in facts})
            texts = await templates.texts(following)
            for one, facts in doubted.items():
                self._judge(texts, one, facts, following)
        self._tell_many()
        return {one: self._guarded(one, text) for one, text in texts.items()}

    def _doubted(self, texts: Texts, following: Following) -> dict[Destination, set[Fact]]:
        """Return what is nothing for the first time, by the file that would lose it."""
        doubted = {
            one: following.unconfirmed(self._templates.asked[one])
            for one, text in texts.items()
            if isinstance(text, str) and _replaces(one, text)
        }
        return {one: facts for one, facts in doubted.items() if facts}

    def _judge(
        self, texts: Texts, one: Destination, facts: set[Fact], following: Following
    ) -> None:
        left = sorted(map(str, following.unconfirmed(facts)))
        if left:
            why = f"whether there is no {left[0]} could not be asked again"
            texts[one] = ConsulError("Consul", 0, why)
            return
        none = sorted(str(fact) for fact in facts if not following.known.get(fact))
        text = texts[one]
        if none and isinstance(text, str) and _replaces(one, text):
            more = f" and {len(none) - 1} others" if len(none) > 1 else ""
            self._tell(
                f"{one.path} is replaced by what is without {none[0]}{more}: Consul has none, as"
                " its leader has said twice, some seconds apart"
            )

    def _tell_many(self) -> None:
        """Tell of the limit before it is reached."""
        asked = len({fact for facts in self._templates.asked.values() for fact in facts})
        if asked >= NEARLY and not self._many:
            self._tell(f"{asked} things are asked of Consul, and {MOST_FACTS} at most can be")
        self._many = asked >= NEARLY

    def _guarded(self, one: Destination, text: str | RenderFault) -> str | RenderFault:
        """Return the text if it keeps the limits, and else why it is not to be written."""
        if not isinstance(text, str):
            return text
        given, before = self._templates.given[one], self._accepted.get(one, {})
        why = self._guards.refusal(one.path, File(one.path, text).data, given, before)
        if why:
            return TemplateError(str(one.template), None, why)
        self._accepted[one] = given
        return text


def _replaces(one: Destination, text: str) -> bool:
    """Return whether there is a file with something else in it."""
    try:
        there = installed(one.path)
    except ApplyError:
        return False  # told as what it is by whoever writes it
    return bool(there) and there != File(one.path, text).data
