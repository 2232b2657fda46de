"""Sockets at paths: of the dead, of the living, of two at once, and what is no socket at all."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.config import Endpoint
from consulfwd.config.sections import AdminSettings
from consulfwd.ops import places
from consulfwd.ops.admin import where
from consulfwd.ops.admin.doors import Busy, Owner, Port, Unix, Unusable
from tests.loopback import OWN, free_port
from tests.ops.admin.world import Process, World


def unix(path: Path, mode: int = 0o660, group: str | None = None) -> Unix:
    return Unix(path, mode, group, None)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o077)
    yield tmp_path / "serve.sock"
    os.umask(before)


def test_it_is_made_and_nothing_is_left_of_it(path: Path) -> None:
    for _ in range(2):
        place = unix(path)
        sock, door = place.take()
        assert door.port is None
        # Whatever the umask is.
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert places.lives(path)
        place.give_back()
        sock.close()
        assert list(path.parent.iterdir()) == []


def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    Path(f"{path}.lock").touch()
    assert not places.lives(path)
    place = unix(path)
    with place.take()[0]:
        assert places.lives(path)
        place.give_back()


def test_of_the_living_nothing_is_taken(path: Path) -> None:
    first, second = unix(path), unix(path)
    with first.take()[0]:
        for _ in range(3):
            with pytest.raises(Busy):
                second.take()
        assert places.lives(path)
        first.give_back()
    with second.take()[0]:
        # What is not its own any more it leaves alone.
        first.give_back()
        assert places.lives(path)
        second.give_back()
    assert list(path.parent.iterdir()) == []


def test_who_serves_there_without_a_lock_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        with pytest.raises(Busy):
            unix(path).take()
        # Even if so many wait there that nobody else may.
        with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
            for each in (one, two):
                each.setblocking(False)
                each.connect_ex(str(path))
            with pytest.raises(Busy):
                unix(path).take()
    with unix(path).take()[0]:
        pass


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda at: at.write_text("precious"), "that is a file, and left alone"),
        (lambda at: at.symlink_to("/etc/passwd"), "that is a link, and left alone"),
        (lambda at: at.symlink_to("nowhere"), "that is a link, and left alone"),
        (lambda at: at.mkdir(), "that is a folder, and left alone"),
        (lambda at: os.mkfifo(at), "that is no socket, and left alone"),
        (lambda at: Path(f"{at}.lock").symlink_to("/etc/passwd"), "too many levels"),
        (lambda at: os.mkfifo(f"{at}.lock"), "is no file: take it away"),
        (lambda at: at.parent.rmdir(), "no such file or directory (see admin.socket)"),
    ],
)
def test_what_is_no_socket_is_left_alone(path: Path, made: object, told: str) -> None:
    assert callable(made)
    made(path)
    before = sorted(path.parent.iterdir()) if path.parent.exists() else []
    with pytest.raises(Unusable) as error:
        unix(path).take()
    assert told in str(error.value)
    after = sorted(path.parent.iterdir()) if path.parent.exists() else []
    assert after == before


def test_of_many_at_once_one_has_it(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    having, most, turns = [0], [0], [0]
    guard = threading.Lock()
    together = threading.Barrier(8)

    def begins() -> None:
        together.wait()
        while turns[0] < 40:
            place = unix(path)
            try:
                sock, _ = place.take()
            except Busy:
                continue
            with guard:
                having[0] += 1
                turns[0] += 1
                most[0] = max(most[0], having[0])
            # Whoever connects now gets in here, and nowhere else.
            with socket.socket(socket.AF_UNIX) as asks:
                asks.connect(str(path))
                sock.setblocking(True)
                sock.accept()[0].close()
            with guard:
                having[0] -= 1
            place.give_back()
            sock.close()

    threads = [threading.Thread(target=begins) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert most == [1]
    assert turns[0] >= 40
    assert list(path.parent.iterdir()) == []


def test_its_group_and_owner(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() == 0:
        group, owner = grp.getgrgid(1).gr_name, Owner(65_534, 65_534)
    else:
        group, owner = grp.getgrgid(os.getegid()).gr_name, Owner(os.geteuid(), os.getegid())
    place = Unix(path, 0o640, group, owner)
    with place.take()[0]:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (owner.uid, grp.getgrnam(group).gr_gid)
        # What it leaves if it is killed is no more in that user's way than the socket.
        assert path.with_name(f"{path.name}.lock").stat().st_uid == owner.uid
        assert stat.S_IMODE(found.st_mode) == 0o640
        place.give_back()
    # One that there is not costs only itself.
    place = Unix(path, 0o660, "no-such-group", None)
    with place.take()[0]:
        assert path.stat().st_gid == os.getegid()
        assert "there is no group no-such-group" in caplog.text
        place.give_back()


def test_a_port_another_process_has() -> None:
    with socket.socket() as other:
        other.bind((OWN, 0))
        other.listen()
        at = Endpoint(host=OWN, port=other.getsockname()[1])
        with pytest.raises(Busy):
            Port(at).take()
        spare = Port(at, spare=True)
        sock, door = spare.take()
        with sock:
            assert door.port == sock.getsockname()[1] != at.port
            assert str(spare) == f"http://{OWN}:{door.port}/"
    with pytest.raises(Unusable, match=r"see admin\.listen"):
        Port(Endpoint(host="192.0.2.1", port=1)).take()


@pytest.mark.parametrize(
    ("environ", "folders", "found"),
    [
        ({"RUNTIME_DIRECTORY": "{at}/own:/x", "XDG_RUNTIME_DIR": "{at}"}, ["run"], "own/a.sock"),
        ({"XDG_RUNTIME_DIR": "{at}"}, ["run"], "run/a.sock"),
        ({"XDG_RUNTIME_DIR": "{at}"}, [], "consulfwd/a.sock"),
        ({"XDG_RUNTIME_DIR": "{at}/nowhere"}, [], None),
        ({"XDG_RUNTIME_DIR": "relative", "RUNTIME_DIRECTORY": ""}, [], None),
    ],
)
def test_where_it_usually_is(
    tmp_path: Path,
    environ: dict[str, str],
    folders: list[str],
    found: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for one in folders:
        (tmp_path / one).mkdir()
    said = {name: value.format(at=tmp_path) for name, value in environ.items()}
    usual = where.usual("a", said, run=tmp_path / "run")
    assert usual == (None if found is None else tmp_path / found)
    assert ("no admin socket" in caplog.text) == (found is None)
    if found == "consulfwd/a.sock":
        assert stat.S_IMODE((tmp_path / "consulfwd").stat().st_mode) == 0o700


def test_who_will_not_be_root_has_a_folder_there(tmp_path: Path) -> None:
    owner = Owner(os.geteuid(), os.getegid())
    usual = where.usual("serve", {}, owner, run=tmp_path)
    assert usual == tmp_path / "serve" / "serve.sock"
    assert usual.parent.stat().st_uid == owner.uid


def test_names() -> None:
    assert where.called("serve") == "serve"
    assert where.called("render", "../a b/nginx.conf") == "render-a-b-nginx.conf"
    assert len(where.called("render", "x" * 500)) < 80
    assert where.called("zone", "..") == "zone"


async def test_the_second_waits_and_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.ops.admin.server.BUSY", 0.02)
    caplog.set_level(logging.INFO)
    async with World(tmp_path) as first:
        second = World(tmp_path)
        second.process.line = "the second"
        async with second:
            await asyncio.sleep(0.2)
            assert b"all is well" in (await first.ask("GET", "/status.json"))[2]
            first.admin.end()
            for _ in range(200):
                if places.lives(first.path):
                    break
                await asyncio.sleep(0.01)
            assert b"the second" in (await second.ask("GET", "/status.json"))[2]
        assert caplog.text.count("another process answers there") == 1
        assert "needs an admin.socket of its own" in caplog.text
        assert caplog.text.count("is taken over") == 2
    assert not first.path.exists()


async def test_other_settings_are_taken(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        port = world.port
        other = AdminSettings(socket=tmp_path / "other.sock", mode="0600", listen=None)
        world.admin.use(other)
        world.path = tmp_path / "other.sock"
        for _ in range(200):
            if places.lives(world.path):
                break
            await asyncio.sleep(0.01)
        assert (await world.ask("GET", "/healthz"))[0] == 200
        assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
        assert not (tmp_path / "serve.sock").exists()
        with socket.socket() as sock:
            assert sock.connect_ex((OWN, port)) != 0
        world.admin.use(AdminSettings(socket=False))
        for _ in range(200):
            if not world.path.exists():
                break
            await asyncio.sleep(0.01)
        assert sorted(tmp_path.iterdir()) == [world.token]


async def test_whatever_is_wrong_the_process_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from consulfwd.ops.admin.server import Admin

    (tmp_path / "file.sock").write_text("precious")
    with socket.socket() as other:
        other.bind((OWN, port := free_port()))
        other.listen()
        admin = Admin("serve", environ={})
        admin.bind(
            AdminSettings(
                socket=tmp_path / "file.sock",
                listen=Endpoint(host=OWN, port=port),
                token_file=tmp_path / "nothing",
            )
        )
        admin.begin(Process())
        admin.end()
    assert "that is a file, and left alone" in caplog.text
    assert f"http://{OWN}:{port}/: another process answers there" in caplog.text
    assert "needs an admin.listen of its own" in caplog.text
    assert "nothing cannot be read" in caplog.text
    assert (tmp_path / "file.sock").read_text() == "precious"
    # Not even an error of ours.
    monkey = Admin("serve", environ={})
    monkey.bind(None)  # type: ignore[arg-type]
    assert "the admin server failed" in caplog.text


async def test_settings_may_come_after_the_begin(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.admin.begin(world.process)
    world.admin.bind(world.settings)
    for _ in range(200):
        if places.lives(world.path):
            break
        await asyncio.sleep(0.01)
    assert (await world.ask("GET", "/healthz"))[0] == 200
    world.admin.end()
    assert not world.path.exists()


async def test_where_it_fails_nobody_is_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ModuleNotFoundError("no such module for this user")

    monkeypatch.setattr("consulfwd.ops.admin.server.Admin._let_in", fails)
    async with World(tmp_path) as world:
        assert places.lives(world.path)
        for _ in range(200):
            if not world.path.exists():
                break
            await asyncio.sleep(0.01)
        assert not places.lives(world.path)
        assert "no such module for this user" in caplog.text
