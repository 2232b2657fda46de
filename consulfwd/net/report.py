"""What the server has done so far, and how each upstream is: lines for the log, on request."""

from __future__ import annotations

import logging

from consulfwd.core.freshness import Freshness
from consulfwd.core.telling import History, duration, kind
from consulfwd.net.table import Table

log = logging.getLogger("consulfwd")


def report(table: Table, history: History) -> None:
    """Log the counters since the start, and a line for each upstream."""
    count = table.counters
    log.info(
        "queries %d: hot %d, cached %d, joined %d, forwarded %d; stale answers %d, failed %d",
        count.queries, count.hot, count.cached, count.joined, count.forwarded, count.stale,
        count.failed,
    )  # fmt: skip
    log.info(
        "asked upstreams %d times: hedges %d, second opinions %d (overruled %d, waited for %s),"
        " false replies %d, replies nobody waited for %d (attempts given up for these %d),"
        " octets behind a reply %d times",
        count.upstream, count.extra, count.second_opinions, count.overruled,
        duration(count.opinion_seconds), count.false_replies,
        count.stray_replies, count.evaded, count.trailing,
    )  # fmt: skip
    kept, flights = len(table.cache.entries), len(table.flights)
    log.info("answers in the cache %d, queries in flight %d", kept, flights)
    now = table.clock.now()
    if table.reuse is not None:
        _watches(table.reuse.freshness, count.reused, now)
    barred = table.reuse.freshness.barred if table.reuse is not None else set()
    for upstream in table.routes.upstreams:
        lasted = history.lasted(upstream, now)
        usual = f"replies in {upstream.srtt * 1000:.1f} ms" if upstream.srtt else "never replied"
        more = f"{upstream.sent} times"
        more += f"; ranked behind the others: {upstream.behind}" if upstream.behind else ""
        if upstream.is_agent and upstream.name in barred:
            more += "; no watches there"
        if upstream.looped:
            more += "; leads back to this server"
        log.info(
            "%s %s: %s for %s, %s, asked %s",
            kind(upstream), upstream.name, upstream.state.value, lasted, usual, more,
        )  # fmt: skip


def _watches(freshness: Freshness, reused: int, now: float) -> None:
    log.info(
        "watches %d of %d at most; answers reused past their TTL %d, dropped for a change %d",
        len(freshness.watches), freshness.rules.max, reused, freshness.invalidations,
    )  # fmt: skip
    for watch in freshness.watches.values():
        log.info(
            "watch of %s at %s: %s for %s; changes %d, instances %d (healthy %d), questions %d",
            watch.subject, watch.carrier, "armed" if watch.armed else "not armed",
            duration(now - watch.placed_at), watch.changes, watch.size, watch.healthy,
            len(watch.keys) + len(watch.denied),
        )  # fmt: skip
