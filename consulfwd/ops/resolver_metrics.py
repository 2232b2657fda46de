"""The metrics of a resolver, and of the servers it asks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.core.states import State
from consulfwd.ops.metric_forms import Metric, Part, Subject, counted, counter, gauge
from consulfwd.ops.snapshot import GroupSeen, Snapshot, UpstreamSeen


def _resolver(seen: Snapshot) -> Iterator[Subject]:
    if seen.resolver is not None:
        yield (), seen.resolver


def _counters(seen: Snapshot) -> Iterator[Subject]:
    if seen.resolver is not None:
        yield (), seen.resolver.counters


def _tiers(seen: Snapshot) -> Iterator[Subject]:
    if seen.resolver is not None:
        for tier, key in (("hot", "hot"), ("cache", "cached")):
            yield (tier,), seen.resolver.counters.get(key)


def _round_trips(seen: Snapshot) -> Iterator[Subject]:
    for one in seen.resolver.round_trips if seen.resolver is not None else ():
        yield (one.kind,), one


def _groups(seen: Snapshot) -> Iterator[Subject]:
    if seen.resolver is not None:
        # Where there are hundreds, who is not shown is well.
        away = {one.name for one in seen.resolver.upstreams if not is_up(one)}
        for group in seen.resolver.groups:
            yield (group.label,), (group, len(set(group.members) - away))


def _upstreams(seen: Snapshot) -> Iterator[Subject]:
    for one in seen.resolver.upstreams if seen.resolver is not None else ():
        yield (one.name, one.kind), one


def _states(seen: Snapshot) -> Iterator[Subject]:
    for one in seen.resolver.upstreams if seen.resolver is not None else ():
        for state in State:
            yield (one.name, one.kind, state.value), one.state == state.value


def is_up(seen: UpstreamSeen) -> bool:
    """Return whether it is asked as any other that is well."""
    return seen.state == State.UP.value and not seen.loops


def _size(group: tuple[GroupSeen, int]) -> float:
    return len(set(group[0].members))


def _up_of(group: tuple[GroupSeen, int]) -> float:
    return group[1]


OF_RESOLVER = (
    Part("resolver", (), _counters, (
        counted("consulfwd_queries_total", "queries", "Queries that came from clients."),
        counted("consulfwd_reused_answers_total", "reused",
                "Answers from the cache past their TTL, as a watch holds them good;"
                " without those from hot tables."),
        counted("consulfwd_joined_queries_total", "joined",
                "Queries that waited for the answer to one asked already."),
        counted("consulfwd_forwarded_queries_total", "forwarded",
                "Questions that servers were asked."),
        counted("consulfwd_attempts_total", "upstream",
                "How often servers were asked: each attempt, probes and loop tests too."),
        counted("consulfwd_hedges_total", "extra",
                "Attempts beside another: the first server was late, or its reply false."),
        counted("consulfwd_stale_answers_total", "stale",
                "Questions answered with a stale answer, as no server gave one."),
        counted("consulfwd_failed_questions_total", "failed",
                "Questions that got SERVFAIL, each once for all who waited."),
        counted("consulfwd_second_opinions_total", "second_opinions",
                "Replies not believed before another agent had spoken."),
        counted("consulfwd_second_opinions_overruled_total", "overruled",
                "Replies that were not taken after that."),
        counted("consulfwd_second_opinions_wait_seconds_total", "opinion_seconds",
                "Time that clients waited for second opinions."),
        counted("consulfwd_false_replies_total", "false_replies",
                "Replies to another question, or malformed."),
        counted("consulfwd_stray_replies_total", "stray_replies",
                "Replies that nobody waited for: late, or sent by somebody else."),
        counted("consulfwd_evaded_attempts_total", "evaded",
                "Attempts given up for too many of both."),
        counted("consulfwd_trailing_replies_total", "trailing",
                "Replies with octets behind them, each content once."),
        counted("consulfwd_limited_queries_total", "limited",
                "Queries over the limits of their clients."),
        counted("consulfwd_slipped_queries_total", "slipped",
                "Those of them that were told to come by a connection."),
        counted("consulfwd_shielded_questions_total", "shielded",
                "Questions about unknown names not asked: too many were in flight."),
        counted("consulfwd_cookie_queries_total", "cookies", "Queries with a DNS cookie."),
        counted("consulfwd_right_cookies_total", "right_cookies",
                "Those of them whose server cookie was ours."),
        counted("consulfwd_wrong_cookies_total", "wrong_cookies",
                "Those whose server cookie was not, or too old."),
        counted("consulfwd_rebinding_answers_total", "rebinding",
                "Answers about outside names that lost private addresses."),
    )),
    Part("resolver", ("tier",), _tiers, (
        counter("consulfwd_cache_answers_total",
                "Queries answered from the cache, or from the hot tables before it.",
                lambda value: value),
    )),
    Part("resolver", ("kind",), _round_trips, (
        Metric("consulfwd_upstream_rtt_seconds", "histogram",
               "Round-trip times of servers that are up; of queries relayed together one is taken.",
               lambda one: one),
    )),
    Part("resolver", (), _resolver, (
        gauge("consulfwd_queries_in_flight", "Questions that are being asked.",
              lambda one: one.in_flight),
        gauge("consulfwd_cache_entries", "Answers in the cache.", lambda one: one.cache.entries),
        gauge("consulfwd_cache_denials", "Those of them that say a name or type is not there.",
              lambda one: one.cache.denials),
        gauge("consulfwd_cache_max_entries", "How many may be there.",
              lambda one: one.cache.size),
        gauge("consulfwd_watches", "Watches on Consul that are in force.",
              lambda one: len(one.watches)),
        gauge("consulfwd_watches_armed", "Those of them that keep answers good now.",
              lambda one: sum(watch.armed for watch in one.watches)),
        gauge("consulfwd_watches_max", "How many there may be; 0: nothing is watched.",
              lambda one: one.watches_most),
        gauge("consulfwd_watched_instances", "Instances of what is watched.",
              lambda one: sum(watch.instances for watch in one.watches)),
        gauge("consulfwd_watched_healthy_instances", "Those of them that are healthy.",
              lambda one: sum(watch.healthy for watch in one.watches)),
        gauge("consulfwd_watched_questions", "Questions whose answers hang on watches.",
              lambda one: sum(watch.questions for watch in one.watches)),
        counter("consulfwd_invalidations_total", "Answers dropped as a watch told of a change.",
                lambda one: one.invalidations),
        gauge("consulfwd_listening_addresses", "Addresses that it answers at.",
              lambda one: len(one.listening)),
        gauge("consulfwd_missing_addresses",
              "Addresses that it is to answer at and that this host does not have.",
              lambda one: len(one.missing)),
        gauge("consulfwd_querylog_enabled", "Whether queries are logged.",
              lambda one: bool(one.querylog)),
    )),
    Part("group of servers", ("group",), _groups, (
        gauge("consulfwd_group_servers", "Servers that names of this kind go to.", _size),
        gauge("consulfwd_group_servers_up", "Those of them that are up.", _up_of),
    )),
    Part("server asked", ("upstream", "kind"), _upstreams, (
        gauge("consulfwd_upstream_up", "Whether it is up, and does not lead back here.", is_up),
        gauge("consulfwd_upstream_state_since_timestamp_seconds",
              "Since when it is in its state.", lambda one: one.since or None),
        gauge("consulfwd_upstream_behind",
              "Whether it is asked behind the others that are up: data old, lame, or slow.",
              lambda one: bool(one.behind)),
        gauge("consulfwd_upstream_drained", "Whether it was taken out for work.",
              lambda one: one.drained),
        gauge("consulfwd_upstream_loops", "Whether what it is asked comes back to this server.",
              lambda one: one.loops),
        gauge("consulfwd_upstream_barred", "Whether an agent can carry no watches now.",
              lambda one: one.barred),
        gauge("consulfwd_upstream_usual_rtt_seconds", "Its usual round-trip time.",
              lambda one: one.rtt),
        counter("consulfwd_upstream_queries_total", "What it was asked, probes too.",
                lambda one: one.sent),
        counter("consulfwd_upstream_changes_total", "How often its state changed.",
                lambda one: one.changes),
    )),
    Part("server asked", ("upstream", "kind", "state"), _states, (
        gauge("consulfwd_upstream_state", "1 for the state it is in, 0 for the others.",
              lambda value: value),
    )),
)  # fmt: skip
