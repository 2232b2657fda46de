"""Limits of a user's own on what may replace a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.following import Following
from consulfwd.errors import TemplateError
from consulfwd.template.guards import Guards
from consulfwd.template.making import Making
from consulfwd.template.templates import Destination, Templates
from tests.consul.replies import reply
from tests.consul.scripted import World, following

WEB = Fact(FactKind.SERVICE, "web")
LIST = "{% for one in service('web', tag='a') %}server {{ one.node }};\n{% endfor %}"
TEN = [f"n{number}" for number in range(10)]


class Kept:
    """A file that is kept as its template says, within limits."""

    def __init__(self, folder: Path, guards: Guards, text: str = LIST) -> None:
        template = folder / "a.tpl"
        template.write_text(text)
        self.path = folder / "a"
        self._making = Making(Templates([Destination(template, self.path)]), guards, print)

    async def made(self, world: World, one: Following, nodes: Sequence[str]) -> Any:
        """The text once these have an instance, which is written; or why it is not to be."""
        instances = [
            {
                "Node": {"Node": node, "Address": "10.1.0.1", "Datacenter": "dc1"},
                "Service": {"ID": "web", "Service": "web", "Port": 80, "Tags": ["a"]},
                "Checks": [],
            }
            for node in nodes
        ]
        before = [each for each in world.answers if each[1] == WEB.path]
        index = 8 + len(world.asked) if before else 7
        world.say(WEB.path, reply(instances, index=index))
        await world.passes(3)
        (text,) = (await self._making.texts(one)).values()
        if isinstance(text, str):
            self.path.write_text(text)
        return text


async def test_no_file_has_fewer_instances_than_asked_for(tmp_path: Path) -> None:
    kept = Kept(tmp_path, Guards(2))
    async with following() as (world, one):
        assert "server n1;" in await kept.made(world, one, TEN[:2])
        error = await kept.made(world, one, TEN[:1])
        assert isinstance(error, TemplateError)
        what = "service web with the tag 'a' has 1 instances (at least 2: --min-instances)"
        assert str(error) == f"{tmp_path}/a.tpl: {what}"
        assert "server n1;" in kept.path.read_text()
        assert "server n2;" in await kept.made(world, one, TEN[1:3])


@pytest.mark.parametrize(
    ("percent", "left", "said"),
    [
        (50, 5, None),
        (50, 4, "it would be 60 % smaller than before (at most 50 %: --max-shrink;"),
        (0, 9, "it would be 10 % smaller"),
        (100, 0, None),
    ],
)
async def test_no_file_shrinks_by_more_than_asked_for(
    tmp_path: Path, percent: float, left: int, said: str | None
) -> None:
    guards = Guards(max_shrink=percent)
    async with following() as (world, one):
        # What stands there counts, whoever wrote it.
        await Kept(tmp_path, guards).made(world, one, TEN)
        kept = Kept(tmp_path, guards)
        text = await kept.made(world, one, TEN[:left])
        if said is None:
            assert text.count("server") == left
            return
        assert said in str(text)
        assert "render once without --max-shrink" in str(text)
        # Done by hand, it is the way things are.
        kept.path.write_text("".join(f"server {node};\n" for node in TEN[:left]))
        assert (await kept.made(world, one, TEN[:left])).count("server") == left


async def test_no_list_shrinks_in_a_file_that_hardly_does(tmp_path: Path) -> None:
    kept = Kept(tmp_path, Guards(max_shrink=50), "# " + 1000 * "x" + "\n" + LIST)
    async with following() as (world, one):
        assert (await kept.made(world, one, TEN[:3])).count("server") == 3
        error = await kept.made(world, one, TEN[:1])
        assert "service web with the tag 'a' went from 3 instances to 1 (at most 50 %" in str(error)
        assert (await kept.made(world, one, TEN[:2])).count("server") == 2
        # Nothing stands there any more: nothing can shrink.
        kept.path.unlink()
        assert (await kept.made(world, one, [])).count("server") == 0
