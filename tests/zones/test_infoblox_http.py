"""How a request to a grid goes, over TLS and as the tests stand in for that; failures in words."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consulfwd.zones.sinks.infoblox_grid import LONGEST_PAUSE, PAUSE, Asks, pause_after
from consulfwd.zones.sinks.infoblox_http import Broken, Http
from consulfwd.zones.sinks.infoblox_words import Answer
from tests.zones.infobloxed import grid
from tests.zones.made import ORIGIN
from tests.zones.wapi import PASSWORD, USER, Member, always
from tests.zones.wapi_direct import Direct
from tests.zones.wapi_served import serving

KINDS = [
    "", "cut before", "cut after", "cut page", "500 after", "status 401", "status 429 after 7",
    "status 503", "redirect", "body [", "body 5", "huge",
]  # fmt: skip
SEARCH = {"name:": f"web.{ORIGIN}", "_return_fields+": "ttl,use_ttl", "view": "in side"}
BODY = {"name": f"web.{ORIGIN}", "ipv4addr": "10.0.0.1", "view": "in side"}
LOGIN = {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}


@pytest.fixture(scope="module")
def member(signed_here: Path) -> Iterator[Member]:
    one = Member(grid(view="in side"))
    with serving([one], signed_here):
        yield one


def both(member: Member, folder: Path) -> list[Asks]:
    trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    return [Http(trusted, 5.0), Direct([member], 5.0)]


async def answered(
    way: Asks, member: Member, method: str, path: str, params: Mapping[str, str], body: Any
) -> tuple[Answer, str] | str:
    try:
        return await way.ask(method, member.url, path, params, body, LOGIN)
    except Broken as broken:
        # Which words a connection ends with is its own matter.
        return broken.why if "MiB" in broken.why else "broken"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_connection_it_is_the_same_as_over_tls(
    member: Member, signed_here: Path, kind: str
) -> None:
    async def ask() -> list[list[object]]:
        found: list[list[object]] = []
        for way in both(member, signed_here):
            member.begin(grid(view="in side"))
            member.faults = [always(kind)] if kind else []
            ref = f"record:a/{'x' * 4}:web.{ORIGIN}/in%20side"
            found.append([
                await answered(way, member, "GET", "record:a", SEARCH, None),
                await answered(way, member, "POST", "record:a", {}, BODY),
                await answered(way, member, "DELETE", ref, {}, None),
                [tuple(one) for one in member.asked],
                [each[:2] for each in member.grid.writes],
            ])  # fmt: skip
            await way.close()
        return found

    served, direct = asyncio.run(ask())
    assert served == direct
    assert "broken" in served or not kind.startswith("cut")


def test_a_name_that_is_not_known_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def ask() -> None:
        http = Http(ssl.create_default_context(), 5.0)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        try:
            await http.ask("GET", "https://grid.example.com/wapi/v2.11", "x", {}, None, {})
        finally:
            await http.close()

    with pytest.raises(Broken, match="its name is not known"):
        asyncio.run(ask())


def test_pauses_grow_to_a_bound() -> None:
    pauses = [pause_after(turn) for turn in range(6)]
    assert pauses[0] == PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
