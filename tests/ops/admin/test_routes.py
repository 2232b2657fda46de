"""What is answered to whom: over the unix socket, and over TCP with and without the token."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consulfwd.ops import client, metrics
from consulfwd.ops.admin import http, pictures
from consulfwd.ops.page import assets
from consulfwd.ops.watched import OrderError
from tests.ops.admin.world import TOKEN, World, error, taken_apart


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


@pytest.mark.parametrize("tcp", [False, True])
async def test_what_is_to_be_seen(world: World, tcp: bool) -> None:
    plain = "text/plain; charset=utf-8"
    for target, (kind, body) in (
        ("/healthz", (plain, b"ok\n")),
        ("/readyz", (plain, b"ready\n")),
        ("/metrics", (metrics.CONTENT_TYPE, b"# HELP consulfwd_")),
        ("/?theme=dark", assets()["/"]),
        *assets().items(),
    ):
        status, fields, told = await world.ask("GET", target, tcp=tcp)
        assert (status, fields["content-type"]) == (200, kind)
        assert told == body if target != "/metrics" else told.startswith(body)
        assert fields["content-length"] == str(len(told))
        assert fields["content-security-policy"] == http.POLICY
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer"
        assert fields["cache-control"] == "no-store"
        assert fields["cross-origin-resource-policy"] == "same-origin"
        assert (await world.ask("HEAD", target, tcp=tcp))[2] == b""
    status, fields, told = await world.ask("GET", "/status.json", tcp=tcp)
    assert (status, fields["content-type"]) == (200, "application/json")
    seen = json.loads(told)
    assert (seen["format"], seen["line"]) == (1, "all is well")
    assert seen["admin"]["connections"] == 1


async def test_not_ready_says_why(world: World) -> None:
    world.process.ready, world.process.faults = False, ("no agent is up", "no recursor")
    assert (await world.ask("GET", "/readyz"))[::2] == (503, b"no agent is up\nno recursor\n")
    # Alive it is.
    assert (await world.ask("GET", "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/nothing", 404, None), ("GET", "/orders/", 404, None),
        ("GET", "/orders/a/b", 404, None), ("GET", "/../etc/passwd", 404, None),
        ("POST", "/status.json", 405, "GET, HEAD"), ("DELETE", "/healthz", 405, "GET, HEAD"),
        ("GET", "/orders/flush", 405, "POST"), ("POST", "/querylog", 405, "GET"),
    ],
)  # fmt: skip
async def test_what_there_is_not(
    world: World, method: str, target: str, status: int, allow: str | None
) -> None:
    told, fields, body = await world.ask(method, target)
    assert (told, fields.get("allow")) == (status, allow)
    assert error(body)
    assert world.process.orders == []


async def test_orders(world: World) -> None:
    async def order(name: str, values: object) -> tuple[int, dict[str, object]]:
        return await asyncio.to_thread(
            client.ask, world.path, "POST", f"/orders/{name}", values  # type: ignore[arg-type]
        )

    assert await order("flush", {"name": "a."}) == (200, {"dropped": 3})
    assert world.process.orders == [("flush", {"name": "a."})]
    assert await order("flush", {"name": "last"}) == (409, {"error": "that is the last one"})
    assert await order("drian", {}) == (404, {"error": "there is no order drian"})
    assert await order("boom", {}) == (500, {"error": "the order failed: see the log"})
    for body, status in ((b"[]", 400), (b"{", 400), (b"[" * 60_000, 400), (b"\xff", 400)):
        assert (await world.ask("POST", "/orders/flush", body))[0] == status
    plain = await world.ask("POST", "/orders/flush", b"{}", content_type="text/plain")
    assert plain[0] == 415
    assert len(world.process.orders) == 4


ORDER = ("POST", "/orders/flush", b"{}")


async def test_over_tcp_only_the_token_lets_order(world: World) -> None:
    for asked in (ORDER, ("GET", "/querylog", b"")):
        status, _, body = await world.ask(*asked, tcp=True)
        assert status == 403
        assert "needs the token" in error(body)
    for wrong in (f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", "é"):
        status, fields, _ = await world.ask(*ORDER, tcp=True, authorization=wrong)
        assert (status, fields["www-authenticate"]) == (401, "Bearer")
        # Also where none is needed: whoever shows one wants to know.
        assert (await world.ask("GET", "/healthz", tcp=True, authorization=wrong))[0] == 401
    assert world.process.orders == []
    right = f"Bearer {TOKEN}"
    assert (await world.ask(*ORDER, tcp=True, authorization=right))[0] == 200
    # The token is another one now.
    world.token.write_text("another")
    world.admin.use(world.settings)
    assert (await world.ask(*ORDER, tcp=True, authorization=right))[0] == 401
    assert (await world.ask(*ORDER, tcp=True, authorization="Bearer another"))[0] == 200


async def test_without_a_token_nobody_has_it(world: World) -> None:
    world.admin.use(world.settings.replace(token_file=None))
    for said in ("Bearer ", "Bearer", f"Bearer {TOKEN}"):
        assert (await world.ask(*ORDER, tcp=True, authorization=said))[0] == 401
    assert "is for the unix socket only" in error((await world.ask(*ORDER, tcp=True))[2])
    assert (await world.ask(*ORDER))[0] == 200


async def test_a_token_that_cannot_be_read_leaves_the_old(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(path: Path) -> None:
        path.unlink()

    for broken in (
        unreadable, lambda one: one.write_text(""), lambda one: one.write_bytes(b"\xff" * 9000),
    ):  # fmt: skip
        broken(world.token)
        caplog.clear()
        world.admin.use(world.settings)
        assert "the one before stays in force" in caplog.text
        assert TOKEN not in caplog.text
    asked = await world.ask(*ORDER, tcp=True, authorization=f"Bearer {TOKEN}")
    assert asked[0] == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"host": "127.0.0.1:{port}"}, 200), ({"host": "LOCALHOST:{port}"}, 200),
        ({"host": "[::1]:{port}"}, 200), ({"host": "127.9.9.9:{port}"}, 200),
        ({"host": "127.0.0.1:{port}", "origin": "http://127.0.0.1:{port}"}, 200),
        ({"host": "evil.example:{port}"}, 421), ({"host": "127.0.0.1.evil.example:{port}"}, 421),
        ({"host": "evil.example"}, 421), ({"host": "127.0.0.1"}, 421), ({"host": ""}, 421),
        ({"host": "127.0.0.1:1"}, 421), ({"host": "192.0.2.1:{port}"}, 421),
        ({"host": "[::1:{port}"}, 421), ({"host": "::1:{port}"}, 421),
        ({"host": "127.0.0.1:{port}", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:{port}", "origin": "null"}, 403),
        ({"host": "127.0.0.1:{port}", "origin": "https://127.0.0.1:{port}"}, 403),
        ({"host": "127.0.0.1:{port}", "origin": "http://127.0.0.1:1"}, 403),
        ({"host": "127.0.0.1:{port}", "origin": "http://localhost:{port}"}, 403),
    ],
)  # fmt: skip
async def test_pages_of_others_and_rebound_names(
    world: World, fields: dict[str, str], status: int
) -> None:
    fields = {name: value.format(port=world.port) for name, value in fields.items()}
    for method, target, body in (("GET", "/status.json", b""), ORDER):
        said = {**fields, "authorization": f"Bearer {TOKEN}"}
        assert (await world.ask(method, target, body, tcp=True, fields=said))[0] == status
    assert len(world.process.orders) == (status == 200)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"host": "localhost:5380"}, 200), ({"host": "evil.example:5380"}, 421),
        ({"host": "localhost:5380", "origin": "http://localhost:5380"}, 200),
        ({"host": "localhost:5380", "origin": "http://evil.example"}, 403),
        ({"host": "", "origin": "http://evil.example"}, 421),
    ],
)  # fmt: skip
async def test_a_socket_that_was_forwarded_to_a_port(
    world: World, fields: dict[str, str], status: int
) -> None:
    assert (await world.ask(*ORDER, fields=fields))[0] == status


async def test_one_picture_for_all_who_ask_within_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pictures.FRESH == 1
    monkeypatch.setattr(pictures, "FRESH", 60.0)
    asked = await asyncio.gather(*(world.ask("GET", "/status.json") for _ in range(50)))
    assert {status for status, _, _ in asked} == {200}
    assert world.process.pictures == 1
    # An order shows at once.
    world.process.line = "another"
    assert (await world.ask(*ORDER))[0] == 200
    assert json.loads((await world.ask("GET", "/status.json"))[2])["line"] == "another"


async def test_an_error_of_ours_is_told_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.process.line = "boom"
    status, _, body = await world.ask("GET", "/status.json")
    assert (status, error(body)) == (500, "no picture could be taken: see the log")
    assert "RuntimeError: boom" in caplog.text
    world.process.line = "well again"
    assert (await world.ask("GET", "/status.json"))[0] == 200


async def test_a_loop_that_does_not_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pictures.PATIENCE < 2
    monkeypatch.setattr(pictures, "ORDER_S", 0.1)
    monkeypatch.setattr(pictures.Pictures.__init__, "__kwdefaults__", {"patience": 0.2})
    asked = (("GET", "/healthz"), ("GET", "/status.json"), ("GET", "/readyz"), ORDER)
    async with World(tmp_path) as world:
        with ThreadPoolExecutor(len(asked)) as pool:
            waiting = [pool.submit(world.said, world.request(*one)) for one in asked]
            # This is where it hangs: nothing else is done here until all are answered.
            said = [taken_apart(one.result(30)) for one in waiting]
        assert [status for status, _, _ in said] == [503] * 4
        assert all("hangs" in error(body) for _, _, body in said)
        assert error(said[3][2]) == "the process hangs: not carried out"
        await until_well(world)
        # Nobody waits for it any more, hence it is not done later on.
        assert world.process.orders == []


async def until_well(world: World) -> None:
    """Wait until it is alive again: a busy machine may need several looks."""
    for _ in range(100):
        if (await world.ask("GET", "/healthz"))[0] == 200:
            return
    raise AssertionError("it hangs for ever")


async def test_orders_leave_most_of_the_time_to_the_process(world: World) -> None:
    def slow(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(0.02)
        return {}

    world.process.order = slow  # type: ignore[method-assign]
    running = asyncio.get_running_loop()
    began = running.time()
    found = await asyncio.gather(*(world.ask("POST", "/orders/flush", b"{}") for _ in range(4)))
    assert {status for status, _, _ in found} == {200}
    # Three times nine times as long as one takes.
    assert running.time() - began > 0.5

    def slowly_refused(put: object, sample: float) -> Callable[[], None]:
        time.sleep(0.02)
        raise OrderError(409, "too many look on")

    world.process.tail = slowly_refused  # type: ignore[method-assign]
    began = running.time()
    found = await asyncio.gather(*(world.ask("GET", "/querylog") for _ in range(4)))
    assert {status for status, _, _ in found} == {409}
    assert running.time() - began > 0.5


async def test_what_takes_long_to_tell_is_told_beside_the_loop(world: World) -> None:
    told: list[str] = []

    def later() -> list[int]:
        told.append(threading.current_thread().name)
        return [1]

    world.process.order = lambda name, values: {  # type: ignore[method-assign]
        "entries": later, "in_all": 1,
    }  # fmt: skip
    status, _, body = await world.ask("POST", "/orders/cache", b"{}")
    assert (status, json.loads(body)) == (200, {"entries": [1], "in_all": 1})
    assert told == ["admin"]


async def test_queries_that_are_told_too_late_are_told_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures.Pictures.__init__, "__kwdefaults__", {"patience": 0.1})
    began = world.process.tail

    def late(put: Callable[[bytes], None], sample: float) -> Callable[[], None]:
        end = began(put, sample)
        # It is begun, but the reply is too late.
        time.sleep(0.4)
        return end

    world.process.tail = late  # type: ignore[method-assign]
    assert (await world.ask("GET", "/querylog"))[0] == 503
    for _ in range(100):
        if world.process.put is None:
            break
        await asyncio.sleep(0.02)
    assert world.process.put is None
