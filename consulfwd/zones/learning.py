"""Very many new services followed from what one reply says of them, as far as it goes.

What belongs here: the task that does it. What is asked, and how it is read, is in `whole`. Must not
know zones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from consulfwd.consul.following import Following
from consulfwd.errors import ConsulError
from consulfwd.zones import whole
from consulfwd.zones.counting import apart
from consulfwd.zones.places import Place
from consulfwd.zones.reading import Instances


class Learning:
    """Has services followed; `known` is called with each of which something is known then."""

    def __init__(self, known: Callable[[Place, Instances], None]) -> None:
        self._known = known
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, following: Following, place: Place, new: Sequence[Instances]) -> None:
        """Follow these services of a datacenter as soon as there is something to begin with."""
        task = asyncio.get_running_loop().create_task(self._learn(following, place, new))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way: those services are not followed by this."""
        tasks = list(self._tasks)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(
        self, following: Following, place: Place, new: Sequence[Instances]
    ) -> None:
        try:
            await self._read(following, place, new)
        except (ConsulError, ValueError):
            # What is the matter is told of each, where it is the matter there, too.
            pass
        except Exception as error:
            context = {"message": "reading all services at once failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        following.also(one for one in new if one in place.pending)
        for one in new:
            if one in place.pending:
                self._known(place, one)

    async def _read(
        self, following: Following, place: Place, new: Sequence[Instances]
    ) -> None:
        label = await whole.label(following.beside, new)
        reply = await whole.everything(following.beside, place.datacenter)
        found = await apart(reply, lambda one: whole.read(one, new, label))
        place.written_are(found.written)
        if label:
            wanted = {one: read for one, read in found.readings.items() if one in place.pending}
            following.learn(wanted, reply)
