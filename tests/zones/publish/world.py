"""A zone that is published in a world without time: a loop whose clock jumps to what is next.

Targets, Consul and the lock are scripted; what is decided, and when, is the program's own.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

from consulfwd.apply.change import Command, Run
from consulfwd.config.zones import ZoneSettings
from consulfwd.core.alarms import Alarms
from consulfwd.errors import ApplyError, ConsulfwdError
from consulfwd.zones import memory as forms
from consulfwd.zones.memory import Memory
from consulfwd.zones.model import Act, Key, RRset, applied
from consulfwd.zones.orders import Allow, Orders
from consulfwd.zones.plan import Plan
from consulfwd.zones.publish.moves import Moves
from consulfwd.zones.publish.place import Place
from consulfwd.zones.publish.publisher import Publisher
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.telling import of_services
from consulfwd.zones.publish.tools import Tools
from consulfwd.zones.publish.turn import Turn
from consulfwd.zones.seen import Catalog, Service
from consulfwd.zones.target import Base, Left, Push
from consulfwd.zones.zone import Zone
from tests.zones.made import catalog, shown

T = TypeVar("T")
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
WALL = 1_900_000_000.0


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: time passes instead."""

    loop: Timeless

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout is None:
            raise AssertionError("nothing will ever happen again")
        # What is done takes its time: where none passes, timers would run early for ever.
        self.loop.now += 1e-6 if found else max(1e-6, timeout or 0.0)
        return found


class Timeless(asyncio.SelectorEventLoop):
    """A loop whose time passes when nothing else is left to be done."""

    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def play(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run this in such a loop."""
    loop = Timeless()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


class Target:
    """A target that holds what it is told; `fault` is what it fails with."""

    def __init__(self, where: str = "there") -> None:
        self.where = where
        self.records: dict[Key, RRset] = {}
        self.version = 0
        self.fault: Exception | None = None
        self.refused: Callable[[Push], None] = lambda push: None
        self.done: Callable[[Push], None] = lambda push: None
        self.left: list[Left] = []
        self.ignores_may = False
        # Whether it has something to do that is in no plan.
        self.behind = False
        self.reads = 0
        self.pushes: list[tuple[float, dict[str, str]]] = []
        self.numbers: list[int] = []
        self.given_serials: list[tuple[int, str, int]] = []

    def read(self) -> Base:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        mark = str(self.version) if self.version else ""
        return Base(mark, dict(self.records), serial=self.version or None)

    def given(self, serial: int, digest: str = "", number: int = 0) -> None:
        self.given_serials.append((serial, digest, number))

    def change(self, push: Push) -> Change:
        if push.base.mark != (str(self.version) if self.version else ""):
            raise ApplyError(self.where, "changed by somebody else since it was read")
        return Change(self, push)

    def close(self) -> None:
        pass

    def does(self, acts: Sequence[Act]) -> None:
        """Do this."""
        self.records = applied(self.records, acts)
        self.version += 1

    def put_by_others(self, records: dict[Key, RRset]) -> None:
        """Somebody else writes."""
        self.records = dict(records)
        self.version += 1

    @property
    def holds(self) -> dict[str, str]:
        return shown(self.records)


class Change:
    """What a scripted target is told (see `apply.change.Change`)."""

    def __init__(self, target: Target, push: Push) -> None:
        self._target = target
        self._push = push
        self.where = target.where
        self.target = target.where
        self.left = target.left

    def due(self) -> bool:
        return bool(self._push.acts) or self._target.behind

    def __enter__(self) -> Change:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def plan(self) -> bool:
        return self.due()

    def check(self, command: Command, run: Run) -> None:
        pass

    def put(self) -> None:
        self._target.refused(self._push)
        why = "" if self._target.ignores_may else self._push.may()
        if why:
            raise ApplyError(self.where, f"not written: {why}")
        left = {one.act.key for one in self.left}
        self._target.behind = False
        self._target.does([act for act in self._push.acts if act.key not in left])
        self._target.numbers.append(self._push.number)
        self._target.pushes.append((now(), shown(self._target.records)))
        self._target.done(self._push)

    def verify(self) -> str:
        return ""

    def put_back(self) -> None:
        pass

    def settle(self) -> str | None:
        return None

    def leave(self) -> None:
        pass


class Consul:
    """What Consul says of one zone's services (see `tools.Source`)."""

    def __init__(self, *services: Service, doubt: str = "") -> None:
        self.changed = asyncio.Event()
        self._said = catalog(*services, doubt=doubt)

    def says(self, *services: Service, doubt: str = "") -> None:
        """From now on it says this."""
        before = self._said.services
        same = [before.get((one.datacenter, one.name), one) for one in services]
        kept = [old if old == one else one for old, one in zip(same, services, strict=True)]
        self._said = catalog(*kept, doubt=doubt)
        self.changed.set()

    async def ready(self, timeout: float) -> bool:
        return True

    def catalog(self) -> Catalog:
        return self._said

    def feed(self, zone: Zone, now: float) -> str:
        return of_services(["some"]) if zone.see(self._said, now) else ""


class Writing:
    """That this one writes (see `writing.Writing`)."""

    def __init__(self, memory: Memory | None = None, number: int = 7) -> None:
        self.number = number
        self.holder = "consulfwd at here"
        self.memory = memory or Memory()
        self.orders = Orders()
        self.changed = asyncio.Event()
        self.lost = ""
        self.saved: list[Memory] = []
        self.fault: ConsulfwdError | None = None
        # What is written down, if anything was.
        self.disk = b""
        self.killed = False

    def why(self) -> str:
        return self.lost

    def may(self) -> str:
        return self.lost

    def order(self, orders: Orders) -> None:
        """Somebody orders this."""
        self.orders = orders
        self.changed.set()

    async def save(self, memory: Memory) -> None:
        if self.fault is not None:
            raise self.fault
        if self.killed:
            return
        self.disk = forms.write(memory.replace(number=self.number), now(), WALL + now())
        self.memory = memory
        self.saved.append(memory)

    def next(self, number: int | None = None) -> Writing:
        """Whoever comes next, who knows what is written down."""
        number = self.number if number is None else number
        if not self.disk:
            return Writing(self.memory, number)
        found = Writing(forms.load(self.disk, "disk", now(), WALL + now()), number)
        found.disk = self.disk
        return found

    async def take(self) -> Allow | None:
        allow, self.orders = self.orders.allow, self.orders._replace(allow=None)
        return allow


async def _at_once(work: Callable[[], T]) -> T:
    return work()


def after(seconds: float) -> InThread:
    """Have work in threads take so long, which nobody can end sooner."""

    async def waited(work: Callable[[], T]) -> T:
        ends, cancelled = now() + seconds, False
        while now() < ends:
            try:
                await asyncio.sleep(ends - now())
            except asyncio.CancelledError:
                cancelled = True
        try:
            return work()
        finally:
            if cancelled:
                raise asyncio.CancelledError

    return waited


class Published:
    """A publisher at work, from `async with` on."""

    def __init__(
        self,
        settings: ZoneSettings,
        consul: Consul,
        *targets: Target,
        writing: Writing | None = None,
        in_thread: InThread = _at_once,
        moves: Moves | None = None,
    ) -> None:
        self.lines: list[str] = []
        self.rounds = 0
        self.writing = writing or Writing()
        self.audit_fault: ConsulfwdError | None = None
        self._consul, self._serials = consul, Serials()
        self._tools = tools = Tools(
            audit=self._audit,
            clock=now,
            wall=lambda: WALL + now(),
            in_thread=in_thread,
            alarms=Alarms(),
            round=self._rounded,
        )
        places = [Place(one, settings.interval, counts=True) for one in targets]
        self.publisher = Publisher(settings, places, consul, tools, self._serials, moves)
        self._task: asyncio.Task[None] | None = None

    def _rounded(self) -> None:
        self.rounds += 1

    def _audit(self, text: str) -> None:
        if self.audit_fault is not None:
            raise self.audit_fault
        self.lines.append(text)

    async def __aenter__(self) -> Published:
        await self.begin()
        return self

    async def begin(self) -> None:
        """Have it begin."""
        self._task = asyncio.ensure_future(self.publisher.work(self.writing))

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        assert not self._task.done(), self._task.exception()
        await self.end()

    async def once(self, *approved: Plan) -> list[str]:
        """Attend to each target once, by what was approved if that is given; return faults."""
        one = self.publisher
        turn = Turn(
            one.settings, one.places, self._consul, self.writing, self._serials, self._tools,
            one.tell,
        )  # fmt: skip
        await turn.once({each.target: each for each in approved}, 15.0)
        return [each.fault for each in one.places if each.fault]

    async def end(self) -> None:
        """Have it end, as the lock does when it is lost."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})


async def until(true: Callable[[], object], most: float = 1_000.0) -> float:
    """Let time pass until this is so; return how long that took, within a hundredth or so."""
    began = now()
    while not true():
        assert now() - began < most, "it never came about"
        await asyncio.sleep(max(0.05, (now() - began) / 100))
    return now() - began


Main = Callable[[], Awaitable[None]]
