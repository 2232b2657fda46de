"""What the admin socket needs of the process it belongs to. Knows nothing of HTTP.

All of it is called on the event loop of the process, and is not to keep it busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from consulfwd.errors import ConsulfwdError
from consulfwd.ops.snapshot import Snapshot


class OrderError(ConsulfwdError):
    """An order that is not carried out: `status` as HTTP has it (400, 404, 409), and why."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Watched(Protocol):
    """A process that can be looked at, and given orders.

    Orders are, of a resolver (others know none; 404):

    | order | values | result |
    |---|---|---|
    | `drain` | `server`, `force` | `server`, `others` that are up; 409 if it is the last one |
    | `undrain` | `server` | `server` |
    | `flush` | `name`, `subtree` | `dropped`: how many entries |
    | `cache` | `name` or None, `subtree`, `limit` | `entries`: dicts, `in_all` |
    | `explain` | `name`, `type` | what it would do now and why |
    | `force` | `glob`, `to` ("up", "down"), `seconds`, `reason`, `by` | `records`, `until` |
    | `unforce` | `glob` | `forces`: what was taken back; 409 if nothing was forced |
    | `failback` | `glob` | `records` that went back to their best pool |
    | `querylog` | `state` ("on", "off"), `sample` | `querylog`: what is logged now |
    """

    def snapshot(self) -> Snapshot:
        """Return what is to be seen now."""
        ...

    def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an order, return what came of it as JSON has it. Raises OrderError.

        A function in place of a value makes it, in any thread: what takes long is not made here.
        """
        ...


@runtime_checkable
class Tailed(Protocol):
    """A process whose queries can be seen as they are answered, if it is one that is asked any."""

    def tail(self, put: Callable[[bytes], None], sample: float) -> Callable[[], None]:
        """Have queries told from now on, this part of them (0 to 1], until the returned is called.

        `put` takes a line of JSON without its end. It never blocks, and any thread may call it.
        """
        ...
