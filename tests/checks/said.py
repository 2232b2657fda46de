"""What a plug-in said, taken apart as Nagios does, and held to the guidelines' form."""

from __future__ import annotations

import re
from typing import NamedTuple

NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
RANGE = rf"@?(?:~|{NUMBER})?:?(?:{NUMBER})?"
# https://www.monitoring-plugins.org/doc/guidelines.html#AEN201
FIGURE = re.compile(
    rf"'(?:[^'=]|'')+'={NUMBER}(?:s|ms|us|%|B|KB|MB|GB|TB|c)?"
    rf"(?:;(?:{RANGE})?(?:;(?:{RANGE})?(?:;(?:{NUMBER})?(?:;(?:{NUMBER})?)?)?)?)?"
)
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


class Said(NamedTuple):
    """How a plug-in ended, and what it wrote."""

    code: int
    text: str

    @property
    def first(self) -> str:
        """The first line without its figures."""
        return self.text.partition("\n")[0].partition(" | ")[0]

    @property
    def figures(self) -> str:
        """What is behind the `|`."""
        return self.text.partition("\n")[0].partition(" | ")[2]

    @property
    def below(self) -> list[str]:
        """The lines below the first."""
        return self.text.splitlines()[1:]


def well_formed(said: Said) -> None:
    """Fail where the guidelines are not kept."""
    assert 0 <= said.code <= 3
    assert said.text.endswith("\n")
    assert len(said.text.encode("utf-8", "backslashreplace")) <= 8192
    first = said.text.partition("\n")[0]
    assert re.match(rf"[A-Z]+ {STATES[said.code]}: \S", first), first
    assert first.count("|") <= 1
    assert len(said.first) <= 280
    assert "|" not in "".join(said.below)
    assert all(one.isprintable() for one in said.text.splitlines())
    if said.figures:
        rest = FIGURE.sub("", said.figures)
        assert not rest.strip(), f"not perfdata: {rest!r} of {said.figures!r}"
