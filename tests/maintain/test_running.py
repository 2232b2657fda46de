"""A run played through with a Consul in this process: in order, interrupted, killed anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from consulfwd.errors import UsageError
from consulfwd.maintain import mark
from consulfwd.maintain.mark import Mark
from consulfwd.maintain.requests import Denied
from consulfwd.maintain.turn import PATIENCE
from consulfwd.maintain.wanted import BUSY, LATE, Stopped
from tests.maintain.world import START, Killed, World, watched


def nothing_left(world: World, folder: Path, sessions: int = 0) -> None:
    """Nobody is out, no lock is held, no session and no journal is left.

    A session that holds nothing may be, of who died before noting it: Consul ends it.
    """
    assert world.out == {}
    assert [key for key, entry in world.keys.items() if entry["Session"]] == []
    assert len(world.sessions) <= sessions
    assert list(folder.glob("*.json")) == []


def test_all_have_their_turn_those_that_are_ill_first(tmp_path: Path) -> None:
    world = World(ttl=7)
    world.lag = 2.0
    world.status["n3", "web"] = "critical"
    world.meanwhile["n3"] = lambda: world.status.update({("n3", "web"): "passing"})
    world.run(tmp_path, rolling=True)
    assert world.begun == ["n3", "n1", "n2"]
    steps = ["out", "unnamed", "started", "ended", "ill", "well", "back", "named"]
    assert world.told == ["locked", *[one for one in steps if one != "ill"] * 0, *world.told[1:]]
    for one in steps:
        assert world.told.count(one) >= 3 or one == "ill"
    # TTL and settling, three times; nothing is put back before its check has run again.
    assert world.now > 3 * (7 + 1 + 2)
    nothing_left(world, tmp_path)


def test_the_last_healthy_one_is_refused_unless_forced(tmp_path: Path) -> None:
    world = World(nodes=2)
    world.status["n2", "web"] = "critical"
    world.output["n2", "web"] = "connection\nrefused"
    with pytest.raises(Stopped, match=r"0 healthy of 1 other .* http is critical: connection ref"):
        world.run(tmp_path)
    assert world.begun == []
    nothing_left(world, tmp_path)
    # One that is ill takes nobody from anywhere.
    world.meanwhile["n2"] = lambda: world.status.update({("n2", "web"): "passing"})
    world.run(tmp_path, node="n2")
    world.status["n2", "web"] = "critical"
    world.run(tmp_path, force=True)
    assert world.begun == ["n2", "n1"]
    nothing_left(world, tmp_path)


def test_one_falls_while_another_is_out_and_the_next_is_refused(tmp_path: Path) -> None:
    world = World(nodes=2)
    world.meanwhile["n1"] = lambda: world.status.update({("n2", "web"): "critical"})
    world.status["n1", "web"] = "warning"
    with pytest.raises(Stopped, match="of web would be left, and 2 must be"):
        world.run(tmp_path, rolling=True, keep=2)
    # It warned before, and does: that is how it is well.
    world.run(tmp_path, node="n1")
    assert world.begun == ["n1"]
    world.status["n2", "web"] = "passing"
    world.meanwhile["n1"] = lambda: world.status.update({("n1", "web"): "critical"})
    with pytest.raises(Stopped, match="not well after all of --for: http is critical") as late:
        world.run(tmp_path, rolling=True, limit=60.0)
    assert late.value.exit_code == LATE
    assert world.begun == ["n1", "n1"]
    nothing_left(world, tmp_path)


@pytest.mark.parametrize("taken", ["a person's", "consulfwd maintain by n9 until soon (run x)", ""])
def test_what_somebody_else_took_out_is_left(tmp_path: Path, taken: str) -> None:
    world = World(nodes=4)
    world.out["n2", "web"] = taken
    world.run(tmp_path, rolling=True, force=True)
    assert world.begun == ["n1", "n3", "n4"]
    with pytest.raises(Stopped, match="in maintenance by somebody else"):
        world.run(tmp_path, node="n2", force=True)
    world.run(tmp_path, back=True, force=True)
    assert world.out == {("n2", "web"): taken}


def test_somebody_else_is_faster_by_a_moment(tmp_path: Path, monkeypatch: Any) -> None:
    world = World()
    running = world.running(tmp_path)
    reason = Mark.reason

    def slow(self: Mark, why: str = "") -> str:
        world.out["n1", "web"] = "theirs"
        return reason(self, why)

    monkeypatch.setattr(Mark, "reason", slow)
    with pytest.raises(Stopped, match="taken out by somebody else just now: theirs"):
        asyncio.run(running.run())
    assert world.out == {("n1", "web"): "theirs"}
    assert world.begun == []


@pytest.mark.parametrize("again", ["rolling", "back", "other"])
def test_killed_at_every_step_and_then_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    for at in range(1000):
        world = World(nodes=2)
        watched(world, monkeypatch)
        folder = tmp_path / str(at)
        folder.mkdir()
        killed = world.killed(folder, at, rolling=True)
        begun, done = list(world.begun), world.told.count("well")
        where = world.steps[-1] if world.steps else ""
        if again == "rolling":
            world.run(folder, rolling=True)
            # Whom it was over with it is not begun with anew, unless it died noting that.
            more = len(world.begun) - len(begun)
            assert more in (2 - done, 3 - done) or where == "removed", where
        elif again == "back":
            world.run(folder, back=True)
            assert world.begun == begun
        else:
            world.status |= {(node, "other"): "passing" for node in world.addresses}
            world.services.append("other")
            world.run(folder, name="other")
            if not any(entry["Session"] for entry in world.keys.values()):
                # Who was over with all but some is known for a while yet.
                for one in folder.glob("*.json"):
                    assert json.loads(one.read_text())["out"] is None
                    one.unlink()
        assert world.out == {}, (at, where)
        if again != "other":
            nothing_left(world, folder, sessions=1)
        monkeypatch.undo()
        if not killed:
            break
    assert at > 30


def test_the_next_run_keeps_out_what_was_out(tmp_path: Path, monkeypatch: Any) -> None:
    world = World()
    watched(world, monkeypatch)
    running = world.running(folder := tmp_path, rolling=True)
    world.meanwhile["n1"] = lambda: setattr(world, "dead", True)
    with pytest.raises(Killed):
        asyncio.run(running.run())
    assert list(world.out) == [("n1", "web")]
    # Nobody is named meanwhile who may be half-way through an update.
    ended: list[str] = []
    world.meanwhile["n1"] = lambda: ended.extend(world.told)
    world.run(folder, rolling=True)
    assert "back" not in ended
    assert world.begun == ["n1", "n1", "n2", "n3"]
    nothing_left(world, folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_every_wait(tmp_path: Path, number: int) -> None:
    async def interrupted(world: World, folder: Path, after: int) -> bool:
        running = world.running(folder, rolling=True)
        task = asyncio.ensure_future(running.run())
        for _ in range(after):
            await asyncio.sleep(0)
        running.stop(number)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
            return False
        return True

    # Both signals, every other place each.
    for after in range(number % 2, 400, 5):
        world = World(nodes=2)
        folder = tmp_path / str(after)
        folder.mkdir()
        more = asyncio.run(interrupted(world, folder, after))
        assert world.out == {}
        assert [key for key, entry in world.keys.items() if entry["Session"]] == []
        for one in folder.glob("*.json"):
            assert json.loads(one.read_text())["out"] is None
        if [one for one in world.begun if one.startswith("ended")]:
            assert f"ended by {number}" in world.begun
        if not more:
            break
    assert not more
    assert after > 30


def test_a_command_that_fails_ends_the_run_and_the_next_goes_on(tmp_path: Path) -> None:
    world = World()
    world.codes["n2"] = 7
    with pytest.raises(Stopped, match="ended with 7") as failed:
        world.run(tmp_path, rolling=True)
    assert failed.value.exit_code == 7
    assert world.out == {}
    world.run(tmp_path, rolling=True)
    assert world.begun == ["n1", "n2", "n2", "n3"]
    nothing_left(world, tmp_path)
    world.codes["n2"] = -9
    with pytest.raises(Stopped) as failed:
        world.run(tmp_path, rolling=True)
    assert failed.value.exit_code == 137
    # Another command, or anew: all of them.
    world.begun.clear()
    world.codes["n2"] = 1
    with pytest.raises(Stopped):
        world.run(tmp_path, rolling=True, command=("other",))
    world.run(tmp_path, rolling=True, command=("other",), anew=True)
    assert world.begun == ["n1", "n2", "n1", "n2", "n3"]


def test_after_an_hour_it_is_another_run(tmp_path: Path) -> None:
    for later, begun in ((3599.0, ["n2"]), (3601.0, ["n1", "n2"])):
        world = World(nodes=2)
        world.codes["n2"] = 1
        with pytest.raises(Stopped):
            world.run(tmp_path, rolling=True)
        begin = json.loads(next(tmp_path.glob("*.json")).read_text())["begun"]
        world.now, world.begun = begin + later - START, []
        world.run(tmp_path, rolling=True)
        assert world.begun == begun


def test_left_out_where_the_command_fails(tmp_path: Path) -> None:
    world = World(services=("web", "other"))
    world.codes["n1"] = 1
    with pytest.raises(Stopped):
        world.run(tmp_path, leave_out=True, reason="v2")
    assert mark.read(world.out["n1", "web"]) is not None
    assert world.out["n1", "web"].endswith(": v2")
    # Whatever else is done here leaves it so.
    world.run(tmp_path, name="other", node="n2")
    assert list(world.out) == [("n1", "web")]
    world.run(tmp_path, back=True)
    nothing_left(world, tmp_path)


def test_a_command_that_takes_too_long(tmp_path: Path) -> None:
    world = World()
    world.takes = 700.0
    with pytest.raises(Stopped, match="ended after all of --for") as late:
        world.run(tmp_path)
    assert late.value.exit_code == LATE
    nothing_left(world, tmp_path)


def test_answers_that_hold_longer_than_it_may_be_out(tmp_path: Path) -> None:
    world = World()
    world.queries = [
        {"Service": {"Service": "web"}, "DNS": {"TTL": "5m"}}, {"DNS": "odd"}, 5,
        {"Service": {"Service": "api"}, "DNS": {"TTL": "30m"}},
    ]  # fmt: skip
    with pytest.raises(Stopped, match="answers hold for 5 min"):
        world.run(tmp_path, limit=200.0)
    assert world.begun == []
    world.run(tmp_path)
    assert world.now > 300.0
    nothing_left(world, tmp_path)


def test_dns_that_goes_on_naming_it(tmp_path: Path) -> None:
    world = World()
    world.lag = 1e9
    with pytest.raises(Stopped, match=r"is named yet after all of --for: DNS at 127\.9\.0\.1"):
        world.run(tmp_path, limit=60.0)
    assert world.begun == []
    assert world.out == {}


def test_what_is_taken_off_meanwhile_is_set_again(tmp_path: Path) -> None:
    world = World()
    world.takes = 5.0
    world.meanwhile["n1"] = lambda: world.out.clear()
    world.run(tmp_path)
    assert "again" in world.told
    nothing_left(world, tmp_path)


def test_a_run_of_another_host(tmp_path: Path) -> None:
    world = World()
    world.out["n2", "web"] = Mark("0" * 16, "elsewhere", START + 100.0).reason("theirs")
    with pytest.raises(Stopped, match="on elsewhere until") as busy:
        world.run(tmp_path, rolling=True)
    assert busy.value.exit_code == BUSY
    world.run(tmp_path, back=True)
    assert list(world.out) == [("n2", "web")]
    world.now = 131.0
    world.run(tmp_path, rolling=True)
    assert world.begun == ["n2", "n1", "n3"]
    nothing_left(world, tmp_path)
    world.out["n2", "web"] = Mark("0" * 16, "elsewhere", START + 9e5).reason()
    world.run(tmp_path, back=True, force=True)
    nothing_left(world, tmp_path)


def test_a_lock_that_another_one_has(tmp_path: Path) -> None:
    world = World()
    world.sessions.add("theirs")
    world.keys["consulfwd/maintain/web/.lock"] = {
        "Value": "", "Flags": 0x2DDCCBC058A50C18, "Session": "theirs", "ModifyIndex": 1,
        "LockIndex": 1,
    }  # fmt: skip
    with pytest.raises(Stopped, match="another run has the lock") as busy:
        world.run(tmp_path)
    assert busy.value.exit_code == BUSY
    assert world.sessions == {"theirs"}
    assert world.told == ["waits"]


def test_a_node_with_all_that_is_on_it(tmp_path: Path) -> None:
    world = World(services=("web", "api"))
    world.status["n2", "api"] = "critical"
    world.status["n3", "api"] = "critical"
    with pytest.raises(Stopped, match="of api would be left"):
        world.run(tmp_path, name="n1")
    world.status["n3", "api"] = "passing"
    seen: list[Any] = []
    world.meanwhile["n1"] = lambda: seen.extend([dict(world.out), dict(world.keys)])
    world.run(tmp_path, name="n1")
    assert list(seen[0]) == [("n1", "")]
    assert sorted(seen[1]) == [f"consulfwd/maintain/{one}/.lock" for one in ("api", "web")]
    nothing_left(world, tmp_path)
    with pytest.raises(UsageError, match="without --rolling"):
        world.run(tmp_path, name="n1", rolling=True)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    world = World()
    for wanted, said in (
        ({"name": "nix"}, "no such service"),
        ({"node": "n9"}, "no instance on n9; there is: web on n1"),
        ({"name": "n9", "kind": "node"}, "no such node"),
    ):
        with pytest.raises(Stopped, match=said):
            world.run(tmp_path, **wanted)
    world.services.append("n1")
    world.status |= {(node, "n1"): "passing" for node in world.addresses}
    with pytest.raises(UsageError, match="say --kind"):
        world.run(tmp_path, name="n1")
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("GET /v1/health", 'service "web" { policy = "read" }'),
        ("GET /v1/agent/self", 'agent_prefix "" { policy = "read" }'),
        ("PUT /v1/session", 'session_prefix "" { policy = "write" }'),
        ("PUT /v1/kv", 'key_prefix "consulfwd/maintain/" { policy = "write" }'),
        ("PUT /v1/agent/service/maintenance", 'service "NAME" { policy = "write" }'),
    ],
)
def test_refusals_name_the_rule(tmp_path: Path, path: str, rule: str) -> None:
    world = World()
    world.denied = (path,)
    with pytest.raises(Denied) as denied:
        world.run(tmp_path)
    assert rule in str(denied.value)
    assert denied.value.exit_code == 3
    assert world.begun == []
    world.denied = ()
    world.run(tmp_path)
    nothing_left(world, tmp_path)


def test_an_agent_that_cannot_be_asked_from_here(tmp_path: Path) -> None:
    world = World()
    world.unreachable.add("127.9.0.2")
    with pytest.raises(Exception, match=r"node n2 cannot be asked from here .* run consulfwd"):
        world.run(tmp_path, node="n2")
    assert world.begun == []
    assert list(world.sessions) == []


def test_one_that_cannot_be_put_back_is_told_and_then_put_back(tmp_path: Path) -> None:
    world = World()
    world.meanwhile["n2"] = lambda: world.unreachable.add("127.9.0.2")
    with pytest.raises(Stopped, match=r"could not be put back: .* --back") as failed:
        world.run(tmp_path, node="n2")
    assert failed.value.exit_code == 3
    assert list(world.out) == [("n2", "web")]
    world.unreachable.clear()
    world.run(tmp_path, back=True)
    nothing_left(world, tmp_path)


def test_what_is_gone_for_good_keeps_nobody_from_anything(tmp_path: Path) -> None:
    for gone in ("node", "service", "all of it"):
        world = World(services=("web", "other"))
        world.meanwhile["n2"] = lambda world=world: setattr(world, "dead", True)
        with pytest.raises(Killed):
            asyncio.run(world.running(tmp_path, node="n2").run())
        world.dead = False
        if gone != "service":
            del world.addresses["n2"]
            world.out.clear()
        if gone != "node":
            world.services.remove("web")
            world.out.clear()
        if gone == "node":
            world.run(tmp_path, rolling=True)
            assert world.begun == ["n2", "n1", "n3"]
        else:
            world.run(tmp_path, back=True, kind="service")
        nothing_left(world, tmp_path)
    # A host that is away, and not for good, is told, with what to do if it is.
    world = World(services=("web", "other"))
    world.meanwhile["n2"] = lambda: setattr(world, "dead", True)
    with pytest.raises(Killed):
        asyncio.run(world.running(tmp_path, node="n2").run())
    world.unreachable.add("127.9.0.2")
    with pytest.raises(Stopped, match=r"gone for good, remove /.*maintain-service@web\.json"):
        world.run(tmp_path, node="n1")
    world.run(tmp_path, name="other", node="n3")
    assert any("not ended" in one.text for one in world.events)


def test_one_in_the_catalog_alone_is_nobody_s_to_take_out(tmp_path: Path) -> None:
    world = World()
    world.without_agent.add("n2")
    world.run(tmp_path, rolling=True)
    assert world.begun == ["n1", "n3"]
    with pytest.raises(Stopped, match="in the catalog alone"):
        world.run(tmp_path, node="n2", force=True)
    nothing_left(world, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"Address": "-oProxyCommand=touch x"}, {"Address": "a b"}, {"Address": "10.0.0.1\n"},
        {"ID": "-x"}, {"ID": "x\0"}, {"ID": "x\x1b[31m"},
    ],
)  # fmt: skip
def test_what_is_an_order_to_a_command_is_handed_to_none(
    fields: dict[str, str], tmp_path: Path
) -> None:
    world = World()
    world.registered["n2"] = fields
    world.run(tmp_path, rolling=True)
    assert world.begun == ["n1", "n3"]
    assert any("who registered that?" in one.text for one in world.events)
    with pytest.raises(Stopped, match="who registered that"):
        world.run(tmp_path, node="n2", force=True)
    assert world.begun == ["n1", "n3"]
    nothing_left(world, tmp_path)


@pytest.mark.parametrize("name", ["web", "other"])
def test_no_journal_says_where_the_token_goes(name: str, tmp_path: Path) -> None:
    world = World(services=("web", "other"))
    world.meanwhile["n2"] = lambda: setattr(world, "dead", True)
    with pytest.raises(Killed):
        asyncio.run(world.running(tmp_path, node="n2").run())
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text().replace("127.9.0.2", "127.9.9.9"))
    world.run(tmp_path, name=name, node="n1")
    assert "127.9.0.2" in world.asked
    assert "127.9.9.9" not in world.asked
    assert world.begun == ["n2", "n1"]
    nothing_left(world, tmp_path)


def test_a_node_that_is_gone(tmp_path: Path) -> None:
    world = World()
    world.meanwhile["n1"] = lambda: setattr(world, "dead", True)
    with pytest.raises(Killed):
        asyncio.run(world.running(tmp_path, name="n1").run())
    del world.addresses["n1"]
    world.out.clear()
    world.run(tmp_path, name="n1", kind="node", back=True)
    nothing_left(world, tmp_path)


def test_a_second_signal_leaves_it_to_the_next_run(tmp_path: Path) -> None:
    world = World()
    world.meanwhile["n2"] = lambda: world.unreachable.add("127.9.0.2")

    async def ended() -> None:
        running = world.running(tmp_path, node="n2")
        task = asyncio.ensure_future(running.run())
        while not any("cannot be put back yet" in one.text for one in world.events):
            await asyncio.sleep(0)
        begun = world.now
        for number in (1, 2):
            running.stop(signal.SIGINT)
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert number == 2 or not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        # And not after all of the time that putting back may take.
        assert world.now < begun + PATIENCE / 2

    asyncio.run(ended())
    assert list(world.out) == [("n2", "web")]
    world.unreachable.clear()
    world.run(tmp_path, back=True)
    nothing_left(world, tmp_path)


def test_two_on_one_host(tmp_path: Path) -> None:
    world = World()

    async def both() -> None:
        running = world.running(tmp_path)
        other = world.running(tmp_path)
        first = asyncio.ensure_future(running.run())
        while not world.begun:
            await asyncio.sleep(0)
        with pytest.raises(Stopped, match="another run on this host"):
            await other.run()
        await first

    asyncio.run(both())
    nothing_left(world, tmp_path)


def test_killed_is_no_error_of_ours() -> None:
    assert not issubclass(Killed, Exception)
