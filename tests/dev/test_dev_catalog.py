"""The catalog by itself: indices, who is woken, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from consulfwd.dev import Catalog, Check


@pytest.fixture
def catalog(clock: Any) -> Catalog:
    catalog = Catalog("dc1", clock)
    catalog.register("web", id="web1", address="10.0.0.1", tags=("a",))
    catalog.register("db", id="db1", address="10.0.0.2")
    return catalog


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.register("web", id="web2", address="10.0.0.3"),
        lambda c: c.register("web", id="web1", address="10.0.0.9"),
        lambda c: c.deregister("web1"),
        lambda c: c.deregister_node("web1"),
        lambda c: c.set_check("web1", "critical"),
        lambda c: c.set_node_check("web1", "critical"),
        lambda c: c.maintenance("web1"),
        lambda c: c.register_node("web1", "10.0.0.7"),
    ],
)
async def test_each_change_raises_the_index_of_its_service_alone(
    catalog: Catalog, change: Callable[[Catalog], object]
) -> None:
    index, web, db = catalog.index, catalog.service_index("web"), catalog.service_index("db")
    waiting = asyncio.ensure_future(catalog.wait(lambda: catalog.service_index("web"), web, 60))
    other = asyncio.ensure_future(catalog.wait(lambda: catalog.service_index("db"), db, 60))
    await asyncio.sleep(0)
    assert catalog.waiting == 2
    change(catalog)
    assert catalog.index > index
    assert catalog.service_index("web") == catalog.index
    assert catalog.service_index("db") == db
    assert catalog.service_index("never-seen") == catalog.index
    await waiting
    assert not other.done()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other
    assert catalog.waiting == 0


async def test_waiting_ends_with_the_clock(catalog: Catalog, clock: Any) -> None:
    index = catalog.service_index("web")
    waiting = asyncio.ensure_future(catalog.wait(lambda: catalog.service_index("web"), index, 60))
    await asyncio.sleep(0)
    clock.now = 1059.9
    catalog.tick()
    assert catalog.waiting == 1
    for _ in range(10):
        await asyncio.sleep(0)
    assert (waiting.done(), catalog.waiting) == (False, 1)
    clock.now = 1060.0
    catalog.tick()
    await asyncio.wait_for(waiting, 5)
    assert catalog.waiting == 0


async def test_waiting_for_what_already_happened_returns_at_once(catalog: Catalog) -> None:
    await catalog.wait(lambda: catalog.service_index("web"), 1, 60)
    assert catalog.waiting == 0


def status(catalog: Catalog, id: str) -> str:
    return catalog.instances[id].status


def test_status_is_the_worst_of_instance_and_node(catalog: Catalog) -> None:
    web = catalog.instances["web1"]
    web.checks["second"] = Check("second", "second", "passing")
    catalog.set_node_check("web1", "warning")
    assert status(catalog, "web1") == "warning"
    catalog.set_check("web1", "critical", output="boom")
    assert status(catalog, "web1") == "critical"
    assert {check.output for check in web.checks.values()} == {"boom"}
    catalog.set_check("web1", "passing")
    catalog.set_node_check("web1", "passing")
    assert status(catalog, "web1") == "passing"


def test_maintenance_survives_a_passing_check(catalog: Catalog) -> None:
    catalog.maintenance("web1", reason="disk")
    catalog.set_check("web1", "passing")
    assert status(catalog, "web1") == "critical"
    catalog.maintenance("web1", False)
    assert status(catalog, "web1") == "passing"
    index = catalog.index
    catalog.maintenance("web1", False)
    assert catalog.index == index


def test_listing(catalog: Catalog) -> None:
    catalog.register("WEB", id="web2", address="10.0.0.3", tags=("b", "a"))
    assert [each.id for each in catalog.service("Web")] == ["web1", "web2"]
    assert catalog.services() == {"WEB": ["b", "a"], "db": [], "web": ["a"]}
    listed = catalog.services_index()
    catalog.set_check("web1", "critical")
    assert catalog.services_index() == listed
    catalog.deregister("db1")
    assert catalog.services_index() == catalog.index


def test_a_copy_goes_its_own_way(catalog: Catalog) -> None:
    twin = catalog.copy()
    catalog.set_check("web1", "critical")
    twin.register_node("web1", "10.5.5.5")
    assert (twin.instances["web1"].status, catalog.instances["web1"].status) == (
        "passing", "critical"
    )
    assert twin.instances["web1"].node is twin.nodes["web1"]
    assert catalog.nodes["web1"].address == "10.0.0.1"


def test_what_is_not_there_is_refused(catalog: Catalog) -> None:
    changes: list[Callable[[], None]] = [
        lambda: catalog.deregister("nobody"),
        lambda: catalog.set_check("nobody", "passing"),
        lambda: catalog.maintenance("nobody"),
        lambda: catalog.set_node_check("nobody", "passing"),
        lambda: catalog.deregister_node("nobody"),
    ]
    for change in changes:
        with pytest.raises(KeyError):
            change()
    index = catalog.index
    with pytest.raises(ValueError, match="node lost needs an address"):
        catalog.register("lost")
    assert (catalog.index, "lost" in catalog.nodes) == (index, False)
