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
from typing import Any

from consulfwd.config import Loaded, Settings
from consulfwd.config.objections import Objection
from consulfwd.errors import ConsulfwdError
from consulfwd.kept import Kept
from consulfwd.net import loop
from consulfwd.net.here import lacking
from consulfwd.notify import Manager, Notifier
from consulfwd.process import (
    drop_privileges,
    find_user,
    make_room,
    quieten_collector,
    take_short_turns,
)
from consulfwd.server import Server

log = logging.getLogger("consulfwd")


def give_up() -> None:
    """Have the service manager close the sockets it kept: this process cannot even begin."""
    notifier = Notifier.take(os.environ, os.getpid())
    Kept.take(notifier, os.environ, os.getpid()).give_up()
    notifier.close()


def lacking_here(settings: Settings) -> Iterator[Objection]:
    """Yield what the settings name that this host does not have now."""
    yield from lacking(settings)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end on the server's event loop."""
    loop.run(main)


async def serve(
    loaded: Loaded,
    load_again: Callable[[], Loaded],
    ready: Callable[[Server], None] | None = None,
    taken: Callable[[Loaded], None] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the settings again, whole or not at all.

    SIGUSR1 logs what was done so far. A service manager is told of it all (see `notify`).
    `ready` is called once, when the server runs; `taken` whenever it took new settings. Raises
    StartError when it cannot start.
    """
    notifier = Notifier.take(os.environ, os.getpid())
    kept = Kept.take(notifier, os.environ, os.getpid())
    user = loaded.settings.user
    server = Server(loaded.settings, kept=kept, room=make_room)
    manager = Manager(notifier, server.status)

    def give_up_rights() -> None:
        if os.getuid() != 0:
            return
        if user is not None:
            drop_privileges(user)
        else:
            log.warning("running as root: the setting user names whom to become instead")

    try:
        if os.getuid() == 0 and user is not None:
            find_user(user)
        await server.start(give_up_rights)
    except ConsulfwdError:
        kept.give_up()
        raise
    running = asyncio.get_running_loop()
    stopping = asyncio.Event()
    reloading: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        note = "the last reload was refused, see the log; "
        manager.reloading()
        try:
            again = load_again()
            await server.reload(again.settings)
            if taken is not None:
                taken(again)
            note = ""
        except ConsulfwdError as error:
            log.error("not reloaded, the old settings stay in force:\n%s", error)
        finally:
            manager.reloaded(note)

    def hang_up() -> None:
        task = running.create_task(reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopping.set)
    running.add_signal_handler(signal.SIGHUP, hang_up)
    running.add_signal_handler(signal.SIGUSR1, lambda: server.report())
    quieten_collector()
    take_short_turns()
    if ready is not None:
        ready(server)
    manager.ready()
    try:
        await stopping.wait()
        log.info("stopping: answering what is in flight")
        manager.stopping()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await server.stop()
        manager.close()
    log.info("stopped")
