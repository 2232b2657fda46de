"""The process of a server: its signals, its user, its service manager; reload and an orderly stop.

What a server is made of is in `server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from consulfwd.config import Loaded, Settings
from consulfwd.config.objections import Objection
from consulfwd.errors import INTERRUPTED, ConsulfwdError
from consulfwd.hangups import HangUps
from consulfwd.kept import Kept
from consulfwd.net import fastlane, loop
from consulfwd.net.here import lacking
from consulfwd.notify import REFUSED_RELOAD, Manager, Notifier
from consulfwd.ops.admin.server import Admin
from consulfwd.ops.taking import WatchedServer
from consulfwd.process import (
    drop_privileges,
    find_user,
    make_room,
    processes_for,
    quieten_collector,
    take_short_turns,
)
from consulfwd.server import DRAIN_SECONDS, Server

log = logging.getLogger("consulfwd")

Result = TypeVar("Result")


def give_up() -> None:
    """Have the service manager close the sockets it kept: this process cannot even begin."""
    notifier = Notifier.take(os.environ, os.getpid())
    Kept.take(notifier, os.environ, os.getpid()).give_up()
    notifier.close()


def lacking_here(settings: Settings) -> Iterator[Objection]:
    """Yield what the settings name that this host does not have now."""
    yield from lacking(settings)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end on the server's event loop."""
    return loop.run(main)


def _made(settings: Settings, kept: Kept) -> tuple[Server, WatchedServer]:
    """Return a server, with workers where there are to be any, and what is seen of it."""
    count = processes_for(settings.workers)
    if count == 1:
        server = Server(settings, kept=kept, room=make_room)
        return server, WatchedServer(server)
    from consulfwd.workers.head import Head
    from consulfwd.workers.watched import WatchedHead

    head = Head(settings, count=count, kept=kept, room=make_room)
    return head, WatchedHead(head)


async def _become_new(server: Server, admin: Admin, environ: dict[str, str]) -> None:
    """Become the program that is installed now. Raises OSError."""
    from consulfwd.workers import upgrade
    from consulfwd.workers.head import Head

    assert isinstance(server, Head)
    log.info("renewed: the program that is installed now takes over")
    admin.end()
    await server.hand_over()
    upgrade.become_new(server, environ)


async def _let_predecessors_go() -> None:
    """Have workers of the program before this one end, if it became this one."""
    if "LISTEN_WORKERS" in os.environ:
        from consulfwd.workers import upgrade

        await upgrade.Predecessors(os.environ).let_go(2 * DRAIN_SECONDS)


async def serve(
    loaded: Loaded,
    load_again: Callable[[], Loaded],
    ready: Callable[[Server], None] | None = None,
    taken: Callable[[Loaded], None] | None = None,
    admin: Admin | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the settings again, whole or not at all.

    SIGUSR1 logs what was done so far. A service manager is told of it all (see `notify`).
    `ready` is called once, when the server runs; `taken` whenever it took new settings. It is
    looked at by `admin`, if that is the caller's. Returns the exit code: 0 after SIGTERM,
    INTERRUPTED after SIGINT. Raises StartError when it cannot start.
    """
    environ = dict(os.environ)
    notifier = Notifier.take(os.environ, os.getpid())
    kept = Kept.take(notifier, os.environ, os.getpid())
    user = loaded.settings.user
    server, watched = _made(loaded.settings, kept)
    manager = Manager(notifier, watched.line)
    admin = admin or Admin("serve")
    watched.beside = lambda: (REFUSED_RELOAD,) if manager.refused else ()

    def give_up_rights() -> None:
        if os.getuid() != 0:
            return
        if user is not None:
            # What follows may be done by root only; else it can wait until queries are answered.
            admin.bind(loaded.settings.admin, user)
            drop_privileges(user)
        else:
            log.warning("running as root: the setting user names whom to become instead")

    running = asyncio.get_running_loop()
    started = asyncio.Event()
    stopping: asyncio.Future[signal.Signals] = running.create_future()

    async def reload() -> None:
        await started.wait()
        with manager.reload():
            again = load_again()
            await server.reload(again.settings)
            admin.use(again.settings.admin)
            if taken is not None:
                taken(again)

    async def renew() -> None:
        if not started.is_set() or stopping.done():
            return
        if type(server) is Server:
            log.warning("not renewed: a single process is restarted instead (see workers)")
            return
        from consulfwd.workers import upgrade

        if fault := await upgrade.tried(load_again):
            log.error("not renewed, this program goes on:\n%s", fault)
        elif not stopping.done():
            stopping.set_result(signal.SIGUSR2)

    def report() -> None:
        if started.is_set():
            watched.report()

    def stop(number: signal.Signals) -> None:
        # The first one counts.
        if not stopping.done():
            stopping.set_result(number)

    # Before the start: each of them would end the process half-way.
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop, number)
    hang_ups = HangUps(reload)
    running.add_signal_handler(signal.SIGUSR1, report)
    renewals: set[asyncio.Task[None]] = set()

    def renew_soon() -> None:
        if not renewals:
            task = running.create_task(renew())
            renewals.add(task)
            task.add_done_callback(renewals.discard)

    running.add_signal_handler(signal.SIGUSR2, renew_soon)
    try:
        if os.getuid() == 0 and user is not None:
            find_user(user)
        await server.start(give_up_rights)
    except ConsulfwdError:
        hang_ups.close()
        kept.give_up()
        admin.end()
        raise
    if slower := fastlane.without():
        # The installer says nothing of what it could not build.
        log.info("queries are answered %s", slower)
    quieten_collector()
    take_short_turns()
    if not admin.bound:
        admin.bind(loaded.settings.admin)
    admin.begin(watched)
    if ready is not None:
        ready(server)
    manager.ready()
    started.set()
    await _let_predecessors_go()
    try:
        stopped_by = await stopping
        if stopped_by == signal.SIGUSR2:
            await _become_new(server, admin, environ)
        log.info("stopping: answering what is in flight")
        manager.stopping()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await server.stop()
        hang_ups.close()
        manager.close()
        admin.end()
    log.info("stopped")
    return INTERRUPTED if stopped_by == signal.SIGINT else 0
