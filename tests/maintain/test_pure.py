"""Marks, journals, instances, and what is decided by them: boundaries, hostile octets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from consulfwd.consul.health import entries
from consulfwd.dev import DevCluster
from consulfwd.errors import ApplyError, WireError
from consulfwd.maintain import asked, journal, mark, plan
from consulfwd.maintain.instances import Check, Instance, instances_of, named_by, seconds, twins
from consulfwd.maintain.journal import Book, Journal, Out
from consulfwd.maintain.mark import Mark
from tests.loopback import OWN

ONE = Mark("0123456789abcdef", "web1", 1_770_000_000.0)
WEB = Instance("web", "web", "n1", "10.0.0.1", "10.0.0.1", 80, ())


def check(id: str, status: str = "passing", every: float | None = 5.0) -> Check:
    return Check(id, id, status, "", "", every)


def test_a_mark_is_read_as_it_was_written() -> None:
    assert mark.read(ONE.reason()) == ONE
    assert mark.read(ONE.reason("v2: (run 1)")) == ONE
    assert not ONE.over(ONE.until + mark.SLACK)
    assert ONE.over(ONE.until + mark.SLACK + 0.001)


@pytest.mark.parametrize(
    "text",
    [
        "", None, 5, "deploy", ONE.reason() + "\n", " " + ONE.reason(),
        ONE.reason().replace("run 0", "run G"), ONE.reason().replace("2026-02", "2026-13"),
        ONE.reason("x" * 3000),
    ],
)  # fmt: skip
def test_what_is_not_ours_to_the_letter_is_somebody_else_s(text: object) -> None:
    assert mark.read(text) is None


def test_a_journal_is_read_as_it_was_written() -> None:
    whole = Journal(
        ONE.run, "service", "web", ("sh", "-c", "x"), 5.0, "0" * 36, ("a/.lock",),
        Out("n1", "10.0.0.1", "web"), (("n2", "web"),), left=True,
    )  # fmt: skip
    assert journal.read(whole.write()) == whole
    bare = Journal(ONE.run, "node", "n1", (), 0.0)
    assert journal.read(bare.write()) == bare


@given(some.binary(max_size=200))
def test_octets_that_are_no_journal(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        journal.read(data)


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2}, {"run": "../../x"}, {"session": "x"}, {"begun": True}, {"begun": -1},
        {"command": "sh"}, {"command": [1]}, {"done": [["n1"]]}, {"done": {}}, {"out": []},
        {"out": {"node": 1}}, {"locks": None}, {"name": None},
        {"name": "\ud800"}, {"locks": ["\ud800"]},
    ],
)  # fmt: skip
def test_a_journal_that_somebody_wrote_into(change: dict[str, Any]) -> None:
    fields = json.loads(Journal(ONE.run, "service", "web", (), 0.0).write())
    with pytest.raises(ValueError, match=r"."):
        journal.read(json.dumps({**fields, **change}).encode())


def test_a_journal_that_cannot_be_read_is_told_and_kept(tmp_path: Path) -> None:
    book = Book(tmp_path, journal.stem("service", "a/b"))
    assert book.path.name == "maintain-service@a%2Fb.json"
    assert book.take()
    book.path.write_text("{")
    with pytest.raises(ApplyError, match="not a journal of ours"):
        book.load()
    assert not Book(tmp_path, journal.stem("service", "a/b")).take()
    assert list(journal.left(tmp_path)) == []
    book.close()
    (found,) = journal.left(tmp_path)
    found.close()
    assert book.path.exists()


def test_where_journals_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.folder({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert journal.folder({}) == Path("/var/lib/consulfwd")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert journal.folder({"XDG_STATE_HOME": "/home/u/s"}) == Path("/home/u/s/consulfwd")
    assert journal.folder({"XDG_STATE_HOME": "s"}).is_absolute()


def test_how_long_consul_s_durations_are() -> None:
    texts = ["7s", "1m30s", "1.5h", "500ms", "", "0s", "7", "s", "-7s", "7s ", None, 7, "1" * 50]
    found = [seconds(one) for one in texts]
    assert found == [7.0, 90.0, 5400.0, 0.5, *[None] * 9]


@pytest.mark.parametrize(
    ("change", "target", "port", "named"),
    [
        ({}, "n1.node.dc1.consul.", 80, True),
        ({}, "N1.Node.dc1.CONSUL.", 80, True),
        ({}, "n1.node.dc1.consul.", 81, False),
        ({}, "n11.node.dc1.consul.", 80, False),
        ({"node": "n1.rack"}, "n1.rack.node.dc1.consul.", 80, True),
        ({"address": "10.0.0.9"}, "n1.node.dc1.consul.", 80, False),
        ({"address": "10.0.0.9"}, "0a000009.addr.dc1.consul.", 80, True),
        ({"address": "fd00::1"}, "fd000000000000000000000000000001.addr.dc1.consul.", 80, True),
        ({"address": "db.Example"}, "db.example.", 80, True),
        ({"address": "db.example"}, "db.example.org.", 80, False),
    ],
)
def test_srv_records_that_lead_to_it(
    change: dict[str, Any], target: str, port: int, named: bool
) -> None:
    assert named_by(replace(WEB, **change), [(1, "x."), (port, target)]) is named


def test_those_that_dns_cannot_tell_apart() -> None:
    assert not twins(WEB, [WEB])
    assert not twins(WEB, [replace(WEB, id="b", port=81), replace(WEB, node="n2", address="x")])
    assert twins(WEB, [replace(WEB, id="b")])
    assert twins(WEB, [replace(WEB, node="n2")])


def test_entries_that_are_not_of_consul_s_form() -> None:
    node = {"Node": "n1", "Address": "10.0.0.1"}
    good = {"Node": node, "Service": {"ID": "web", "Port": 80}, "Checks": []}
    (found,) = instances_of("web", entries([good]))
    assert (found.address, found.healthy, found.own) == ("10.0.0.1", True, ())
    for change in (
        {"Node": {"Node": "n1"}}, {"Node": {**node, "Node": 5}}, {"Service": {"Port": 80}},
        {"Service": {"ID": "web", "Port": "80"}}, {"Service": {"ID": "web", "Port": 70_000}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            instances_of("web", entries([{**good, **change}]))


def test_a_check_is_believed_once_it_has_run() -> None:
    def ill(now: Check, since: float, failed: set[str] = frozenset(), **more: Any) -> list[str]:  # type: ignore[assignment]
        options = {"recheck": None, "default": 10.0, **more}
        return plan.ill([now], [check("b", "warning")], failed, since, **options)

    assert ill(check("a"), 4.9)
    assert ill(check("a"), 5.0) == []
    assert ill(check("a"), 0.0, {"a"}) == []
    assert ill(check("a", every=None), 9.9)
    assert ill(check("a", every=None), 10.0) == []
    assert ill(check("a"), 1.9, recheck=2.0)
    assert ill(check("a"), 2.0, recheck=2.0) == []
    # What an agent says of itself is not about the program.
    assert ill(check("serfHealth", every=0.0), 0.0, recheck=60.0) == []
    assert ill(check("a", "critical"), 99.0) == ["a is critical"]
    assert ill(check("a", "warning"), 99.0)
    assert ill(check("b", "warning"), 99.0) == []
    assert ill(check("a", "odd\x1b[2J"), 99.0) == ["a is odd\\x1b[2J"]


async def test_srv_records_are_asked_over_tcp() -> None:
    async with DevCluster(agents=1) as cluster:
        agent = cluster.agents[0]
        for number in range(60):
            cluster.catalog.register(
                "big", id=f"big{number}", node=f"b{number}", address=f"10.1.0.{number}", port=80
            )
        found = await asked.records(agent.address, agent.dns_port, "big.service.consul")
        # Over UDP there are fewer, and nothing says so.
        assert len(found.leads) == 60
        assert await asked.records(agent.address, agent.dns_port, "nix.service.consul") == ((), 0)
        with pytest.raises(WireError):
            await asked.records(agent.address, agent.dns_port, "nix.example.org")
    with pytest.raises(OSError, match=r"."):
        await asked.records(agent.address, agent.dns_port, "big.service.consul")


async def test_a_dns_server_that_says_nothing_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, OWN, 0)
    port = server.sockets[0].getsockname()[1]
    for data in (b"", b"\0\5odd", b"\0\x0c" + bytes(12), b"\xff\xff" + bytes(300)):
        said[:] = [data]
        with pytest.raises((WireError, OSError)):
            await asked.records("127.0.0.1", port, "web.service.consul")
    server.close()
    with pytest.raises(WireError):
        await asked.records("127.0.0.1", port, "web..service.consul")
