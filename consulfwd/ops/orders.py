"""What may be ordered of a running resolver, and what comes of it.

What belongs here: what each order takes, and whether it is carried out. Called on the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from consulfwd.core.upstreams import Upstream
from consulfwd.dns.names import to_text
from consulfwd.ops import cached, forcing, values
from consulfwd.ops.explaining import explain
from consulfwd.ops.watched import OrderError
from consulfwd.server import Server

log = logging.getLogger("consulfwd")

# Entries of the cache that are told: where nothing is said, and at most.
SHOWN, MOST_SHOWN = 100, 1000
# Servers that are named where one is not there.
NAMED = 30

Values = Mapping[str, Any]


class Orders:
    """Carries out orders for a server that is running."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._orders: dict[str, tuple[Callable[[Values], dict[str, Any]], tuple[str, ...]]] = {
            "drain": (self._drain, ("server", "force")),
            "undrain": (self._undrain, ("server",)),
            "flush": (self._flush, ("name", "subtree")),
            "cache": (self._cache, ("name", "subtree", "limit")),
            "explain": (self._explain, ("name", "type")),
            "querylog": (self._query_log, ("state", "sample")),
        }
        for name, keys in forcing.KEYS.items():
            self._orders[name] = partial(self._of_records, name), keys

    def carry_out(self, name: str, given: Values) -> dict[str, Any]:
        """Return what came of an order. Raises OrderError; then nothing has changed."""
        found = self._orders.get(name) if isinstance(name, str) else None
        if found is None:
            there = f"there are {', '.join(self._orders)}"
            raise OrderError(404, f"there is no order {values.short(name)}; {there}")
        order, keys = found
        values.known(name, given, keys)
        return order(given)

    # -- who is asked -------------------------------------------------------------------------

    def _drain(self, given: Values) -> dict[str, Any]:
        upstream = self._named(given)
        force = values.flag(given, "force")
        others, alone = self._others(upstream)
        if alone and upstream.up and not upstream.drained and not force:
            raise OrderError(
                409,
                f"{upstream.name} is the last one that is up of {alone}: who drains it by force"
                " has it asked all the same, as long as no other is up",
            )
        self._server.drain(upstream)
        return {"server": upstream.name, "others": others}

    def _others(self, upstream: Upstream) -> tuple[list[str], str]:
        """Return who is up beside a server where it is asked, and where nobody would be."""
        others: dict[str, None] = {}
        alone = ""
        for route in self._server.engine.table.routes:
            members = dict.fromkeys(one for group in route.groups for one in group.members)
            if upstream not in members:
                continue
            up = [
                one.name
                for one in members
                if one.up and one is not upstream and not one.drained and not one.looped
            ]
            others.update(dict.fromkeys(up))
            if not up:
                labels = ", ".join(one.label for one in route.groups)
                alone = alone or f"{labels} (for {to_text(route.zone)})"
        return list(others), alone

    def _undrain(self, given: Values) -> dict[str, Any]:
        drained = self._server.engine.health.drained
        wanted = given.get("server")
        there = {one.key for one in self._server.engine.upstreams()}
        for key, name in list(drained.items()):
            # One that has left, the catalog for one, is to be had back as well.
            if name == wanted and key not in there:
                del drained[key]
                log.info("%s is not to be taken out for work when it is there again", name)
                return {"server": name}
        upstream = self._named(given)
        self._server.undrain(upstream)
        return {"server": upstream.name}

    def _named(self, given: Values) -> Upstream:
        wanted = values.text(given, "server")
        there = self._server.engine.upstreams()
        for of in (_name, _place, _address):
            found = [one for one in there if of(one) == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                places = ", ".join(map(_place, found[:NAMED]))
                message = f"server: {len(found)} are called {values.short(wanted)}: {places}"
                raise OrderError(409, message)
        names = list(dict.fromkeys(one.name for one in there))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        named = f"there are {', '.join(names[:NAMED])}{more}" if names else "there are none"
        raise OrderError(404, f"server: there is no {values.short(wanted)}; {named}")

    # -- what is known ------------------------------------------------------------------------

    def _flush(self, given: Values) -> dict[str, Any]:
        name = values.name(given)
        subtree = values.flag(given, "subtree")
        dropped = cached.flush(self._server.engine, name, subtree=subtree)
        under = " and all under it" if subtree else ""
        log.info("flushed by order: %s%s, %d answers", to_text(name), under, dropped)
        return {"dropped": dropped}

    def _cache(self, given: Values) -> dict[str, Any]:
        name = None if given.get("name") is None else values.name(given)
        subtree = values.flag(given, "subtree")
        limit = values.number(given, "limit", SHOWN, MOST_SHOWN)
        engine = self._server.engine
        found, in_all = cached.entries(engine, name, subtree=subtree, limit=limit)
        return {"entries": found, "in_all": in_all}

    def _explain(self, given: Values) -> dict[str, Any]:
        engine = self._server.engine
        return explain(engine, values.question(given, engine.table.routes))

    def _of_records(self, name: str, given: Values) -> dict[str, Any]:
        book = self._server.book
        if book is None:
            raise OrderError(409, "there are no names that move (failover in the settings)")
        return forcing.carry_out(book, name, given, self._server.engine.clock.wall())

    def _query_log(self, given: Values) -> dict[str, Any]:
        return self._server.querylog.order(given)


def _name(upstream: Upstream) -> str:
    return upstream.name


def _place(upstream: Upstream) -> str:
    address = f"[{upstream.address}]" if ":" in upstream.address else upstream.address
    return f"{address}:{upstream.port}"


def _address(upstream: Upstream) -> str:
    return upstream.address
