"""The public API: one question, its answer, and how that came about."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

import consulfwd.api
from consulfwd.api import Answer, Record, Resolver, UsageError
from consulfwd.config import Recursor as Configured
from consulfwd.dev import DevCluster
from tests.loopback import OWN
from tests.net.recursor import Recursor
from tests.net.world import EXAMPLES, GALERA, PATIENT, nothing_left_behind, settings

NAME = "galeradb.service.consul"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consulfwd.core.upstreams.AGENT", PATIENT)


def attempts(answer: Answer, cluster: DevCluster) -> list[tuple[int, str, str, str]]:
    """Who was asked (agents by number), over what, what came of it, what followed."""
    numbers = {f"{OWN}:{one.dns_port}": n for n, one in enumerate(cluster.agents, 1)}
    return [
        (numbers[one.upstream], one.transport, one.result, one.decided) for one in answer.attempts
    ]


def test_everything_public_is_there() -> None:
    for name in consulfwd.api.__all__:
        assert getattr(consulfwd.api, name).__doc__


async def test_an_answer() -> None:
    async with nothing_left_behind(), DevCluster(EXAMPLES, http=False) as cluster:
        cluster.dns.service_ttl = 30
        async with Resolver(settings(cluster)) as resolver:
            answer = await resolver.resolve("GaleraDB.service.consul", "SRV")
            again = await resolver.resolve(NAME, "SRV")
        agent = f"{OWN}:{cluster.agents[0].dns_port}"
        assert dataclasses.replace(answer, records=(), additional=(), attempts=(), elapsed=0) == (
            Answer(
                name="GaleraDB.service.consul.",
                type="SRV",
                rcode="NOERROR",
                records=(),
                authority=(),
                additional=(),
                ttl=30,
                source=agent,
                rule="consul. -> Consul agents (the Consul domain)",
                order=tuple((f"{OWN}:{one.dns_port}", "up") for one in cluster.agents),
                attempts=(),
                elapsed=0,
            )
        )
        assert min(answer.records, key=lambda one: one.data) == Record(
            name="GaleraDB.service.consul.",
            ttl=30,
            type="SRV",
            data="1 1 3306 0a000a0b.addr.dc1.consul.",
        )
        assert sorted(one.data for one in answer.additional) == GALERA
        (only,) = answer.attempts
        assert (only.why, only.transport, only.result) == ("first in order", "udp", "NOERROR")
        assert only.took is not None
        assert 0 <= only.at <= only.at + only.took <= answer.elapsed < 1
        assert only.size > 100
        assert (again.source, again.attempts, again.resolved) == ("cache", (), True)
        assert set(again.records) == {record._replace(name=f"{NAME}.") for record in answer.records}


async def test_every_attempt_is_told() -> None:
    async with nothing_left_behind(), DevCluster(EXAMPLES, http=False) as cluster:
        await cluster.agents[0].stop()
        cluster.agents[1].faults.any.servfail.on()
        cluster.agents[2].faults.udp.truncate.on()
        async with Resolver(settings(cluster)) as resolver:
            answer = await resolver.resolve(NAME)
        assert sorted(one.data for one in answer.records) == GALERA
        assert attempts(answer, cluster) == [
            (1, "udp", "connection refused", "failed: the next one is asked"),
            (2, "udp", "SERVFAIL", "failed: the next one is asked"),
            (3, "udp", "NOERROR", "cut by the sender, or may be: asked again over TCP"),
            (3, "tcp", "NOERROR", "taken"),
        ]


async def test_what_cannot_be_resolved_is_an_answer_too() -> None:
    async with nothing_left_behind(), DevCluster(EXAMPLES, 2, http=False) as cluster:
        for agent in cluster.agents:
            await agent.stop()
        async with Resolver(settings(cluster, query={"deadline": 0.2})) as resolver:
            failed = await resolver.resolve(NAME)
            here = await resolver.resolve("localhost", "AAAA")
    assert (failed.rcode, failed.resolved, failed.source, failed.ede and failed.ede[0]) == (
        "SERVFAIL", False, "nobody", 23,
    )  # fmt: skip
    assert {one.result for one in failed.attempts} == {"connection refused"}
    assert (here.source, here.attempts, [one.data for one in here.records]) == ("here", (), ["::1"])


async def test_reverse_lookups_tell_of_both_steps() -> None:
    records = {("9.9.9.10.in-addr.arpa", "PTR"): ["PTR ten.test."]}
    async with (
        nothing_left_behind(),
        Recursor(records) as recursor,
        DevCluster(EXAMPLES, 1, http=False) as cluster,
        Resolver(settings(cluster, recursor, consul={"reverse": ["10.0.0.0/8"]})) as resolver,
    ):
        answer = await resolver.resolve("9.9.9.10.in-addr.arpa", "PTR")
        assert [(one.upstream, one.result) for one in answer.attempts] == [
            (f"{OWN}:{cluster.agents[0].dns_port}", "NXDOMAIN"),
            (f"{OWN}:{recursor.port}", "NOERROR"),
        ]
        assert [one.data for one in answer.records] == ["ten.test."]


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
async def test_a_server_that_is_named_is_asked_for_everything(stream: bool) -> None:
    names = ["www.test", NAME, "localhost", "9.9.9.10.in-addr.arpa"]
    records = {(name, "A"): ["A 192.0.2.1"] for name in names}
    async with nothing_left_behind(), Recursor(records) as recursor:
        server = Configured(address=OWN, port=recursor.port)
        async with Resolver(settings(None), server=server, stream=stream) as resolver:
            for name in names:
                answer = await resolver.resolve(name)
                assert [one.data for one in answer.records] == ["192.0.2.1"]
        assert [one.transport for one in recursor.asked] == ["tcp" if stream else "udp"] * 4


async def test_over_tcp_only() -> None:
    async with nothing_left_behind(), DevCluster(EXAMPLES, http=False) as cluster:
        async with Resolver(settings(cluster), stream=True) as resolver:
            answers = await asyncio.gather(*(resolver.resolve(NAME) for _ in range(20)))
        assert {len(answer.records) for answer in answers} == {3}
        assert [agent.counts for agent in cluster.agents] == [{"tcp": 1}, {}, {}]


@pytest.mark.parametrize(
    ("name", "rtype", "text"),
    [
        (NAME, "AAAAA", "there is no record type 'AAAAA'"),
        (NAME, "TYPE65536", "there is no record type 'TYPE65536'"),
        ("a..b", "A", "empty label"),
        ("x" * 64 + ".consul", "A", "63"),
        (".".join(["x" * 60] * 5), "A", "255"),
    ],
)
async def test_wrong_questions(name: str, rtype: str, text: str) -> None:
    async with nothing_left_behind(), Resolver(settings(None)) as resolver:
        with pytest.raises(UsageError, match=text) as failed:
            await resolver.resolve(name, rtype)
        assert failed.value.exit_code == 2


async def test_a_resolver_is_used_in_a_block() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Resolver(settings(None)).resolve(NAME)
