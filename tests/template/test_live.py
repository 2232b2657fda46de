"""Templates kept current in this process: what becomes of a token that is exchanged meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consulfwd.config import Agent
from consulfwd.consul import blocking, renewal, turns
from consulfwd.dev import DevCluster
from consulfwd.keep.quiescence import Quiescence
from consulfwd.notify import Notifier
from consulfwd.template.guards import Guards
from consulfwd.template.live import keep_current
from consulfwd.template.templates import Destination
from consulfwd.upkeep import Upkeep
from tests.net.world import EXAMPLES, until


@pytest.mark.parametrize("agents", [1, 2])
async def test_who_was_refused_asks_again_once_there_is_another_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agents: int
) -> None:
    monkeypatch.setattr(renewal, "EVERY", 0.05)
    # As after an hour of refusals: nobody would ask again in time otherwise.
    monkeypatch.setattr(blocking, "PAUSE", 3600.0)
    monkeypatch.setattr(blocking, "LONGEST_PAUSE", 3600.0)
    monkeypatch.setattr(turns, "PASSED_OVER", turns.LONGEST)
    template, text, token = (tmp_path / name for name in ("a.tpl", "a.txt", "token"))
    template.write_text("{{ service('web', passing=false) | length > 0 }}\n")
    token.write_text("old")
    async with DevCluster(EXAMPLES, agents) as cluster:
        for at in cluster.agents:
            at.tokens = {"new"}
        asked = [
            Agent(
                address=at.address, dns_port=at.dns_port, http_port=at.http_port, token_file=token
            )
            for at in cluster.agents
        ]
        upkeep = Upkeep(Notifier(), "a test's text")
        keeping = asyncio.ensure_future(
            keep_current(
                [Destination(template, text)], lambda: asked, Quiescence(0.0), upkeep, Guards()
            )
        )
        refused = f"; agent {asked[0].name} refuses the token of {token}: HTTP 403: ACL not found"
        await until(lambda: refused in upkeep.status())
        assert not text.exists()
        token.write_text("newer")
        for at in cluster.agents:
            at.tokens = {"newer"}
        await until(text.exists)
        await until(lambda: "; all in force, written last " in upkeep.status())
        assert "; agent " not in upkeep.status()
        # The file stays as it is, and that nobody tells of changes any more is seen all the same.
        for name in ("PAUSE", "LONGEST_PAUSE"):
            monkeypatch.setattr(blocking, name, 0.01)
        for at in cluster.agents:
            at.faults.http.status.on(403)
        cluster.catalog.set_check("web1", "critical")
        away = "; Consul cannot be asked for service web: HTTP 403"
        await until(lambda: away in upkeep.status())
        assert "; all in force, written last " in upkeep.status()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert text.read_text() == "True\n"
