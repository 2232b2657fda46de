"""`consulfwd resolve --server`: everything is asked there, whatever the settings say of a name."""

from __future__ import annotations

import pytest

from consulfwd.api import Resolver
from consulfwd.config import Recursor
from tests.net.world import world


@pytest.mark.parametrize("rtype", ["A", "ANY", "TXT"])
async def test_a_server_that_was_named_is_asked(rtype: str) -> None:
    async with world() as here:
        server = Recursor(address=here.at.host, port=here.at.port)
        async with Resolver(server=server) as resolver:
            answer = await resolver.resolve("galeradb.service.consul", rtype)
        assert (answer.source, answer.rule) == (
            server.name,
            ". -> the server that was named (--server)",
        )
        assert {"10.0.10.11", "10.0.10.12"} < {record.data for record in answer.records}
