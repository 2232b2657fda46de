"""What is made sure of before a text replaces a file, at agents that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from consulfwd.consul.belief import SECOND_LOOK
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.errors import ConsulError
from consulfwd.template import functions
from consulfwd.template import making as module
from consulfwd.template.guards import Guards
from consulfwd.template.making import Making, Texts
from consulfwd.template.templates import Destination, Templates
from tests.consul.replies import reply
from tests.consul.scripted import A, World, calm, following

SERVICES = Fact(FactKind.SERVICES)
TEMPLATE = "{% for one in services() %}{{ one.name }}\n{% endfor %}end\n"


def template(folder: Path, text: str = TEMPLATE) -> Destination:
    file = folder / "a.tpl"
    file.write_text(text)
    return Destination(file, folder / "a")


def making(world: World, where: Destination) -> Making:
    return Making(Templates([where]), Guards(), world.tell)


async def made(world: World, work: Coroutine[Any, Any, Texts]) -> tuple[Any, float]:
    """The first text, or why there is none, and how long that took."""
    begin, task = world.now, asyncio.get_running_loop().create_task(work)
    await calm()
    while not task.done():
        assert world.now < begin + 60, "waited in vain"
        await world.passes(0.05)
    return next(iter(task.result().values())), world.now - begin


async def test_a_full_file_becomes_empty_after_a_second_look(tmp_path: Path) -> None:
    where = template(tmp_path)
    where.path.write_text("a\nb\nend\n")
    async with following() as (world, one):
        world.say(SERVICES.path, reply({}, index=7))
        text, took = await made(world, making(world, where).texts(one))
        assert text == "end\n"
        assert took == pytest.approx(SECOND_LOOK, abs=0.2)
        assert world.told == [
            f"{where.path} is replaced by what is without services: Consul has none, as its leader"
            " has said twice, some seconds apart"
        ]
        # It is known from then on.
        text, took = await made(world, making(world, where).texts(one))
        assert (text, took) == ("end\n", 0.0)


async def test_a_full_file_stays_where_the_second_look_sees_something(tmp_path: Path) -> None:
    where = template(tmp_path)
    where.path.write_text("a\nb\nend\n")
    async with following() as (world, one):
        world.say(SERVICES.path, reply({}, index=7))
        work = making(world, where).texts(one)
        task = asyncio.get_running_loop().create_task(work)
        await world.passes(2)
        world.say(SERVICES.path, reply({"a": []}, index=7))
        await world.passes(SECOND_LOOK)
        assert task.result() == {where: "a\nend\n"}
        assert world.told == []


async def test_a_full_file_stays_where_nobody_can_be_asked_again(tmp_path: Path) -> None:
    where = template(tmp_path)
    where.path.write_text("a\nb\nend\n")
    async with following() as (world, one):
        world.say(SERVICES.path, reply({}, index=7))
        task = asyncio.get_running_loop().create_task(making(world, where).texts(one))
        await world.passes(2)
        world.fail("connection refused", A)
        await world.passes(2 * SECOND_LOOK)
        error = task.result()[where]
        assert isinstance(error, ConsulError)
        assert "whether there is no services could not be asked again" in str(error)


@pytest.mark.parametrize("there", [None, "", "end\n"])
async def test_where_nothing_is_lost_nothing_is_waited_for(
    tmp_path: Path, there: str | None
) -> None:
    where = template(tmp_path)
    if there is not None:
        where.path.write_text(there)
    async with following() as (world, one):
        world.say(SERVICES.path, reply({}, index=7))
        assert await made(world, making(world, where).texts(one)) == ("end\n", 0.0)
        assert world.told == []


async def test_the_limit_is_told_before_it_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEARLY", 8)
    where = template(tmp_path, "{% for n in range(8) %}{{ key('k%d' % n) }}{% endfor %}")
    async with following() as (world, one):
        for number in range(8):
            path = Fact(FactKind.KEY, f"k{number}").path
            world.say(path, reply([{"Key": f"k{number}", "Value": "eA=="}], index=5))
        all_ = making(world, where)
        for _ in range(2):
            assert await made(world, all_.texts(one)) == (8 * "x", 0.0)
        assert world.told == [
            f"8 things are asked of Consul, and {functions.MOST_FACTS} at most can be"
        ]
