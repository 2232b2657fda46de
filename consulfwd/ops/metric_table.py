"""Every metric there is: what it is called, its type, what it says, its labels, where it is from.

What belongs here: the table, in four files. How metrics are written is not known here. Pure. A
label's value is from the settings or a word of ours, never what strangers send: no names that were
asked for, no clients. What grows with these is counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.ops.failover_metrics import OF_FAILOVER
from consulfwd.ops.metric_forms import Part, Subject, Type, counted, counter, gauge
from consulfwd.ops.resolver_metrics import OF_RESOLVER
from consulfwd.ops.snapshot import Snapshot
from consulfwd.ops.zone_metrics import OF_ZONES


def _process(seen: Snapshot) -> Iterator[Subject]:
    yield (), seen


def _build(seen: Snapshot) -> Iterator[Subject]:
    yield (seen.version, seen.verb), seen


def _admin(seen: Snapshot) -> Iterator[Subject]:
    yield (), seen.admin


def _rounds(seen: Snapshot) -> Iterator[Subject]:
    if seen.rounds is not None:
        yield (), seen.rounds


def _workers(seen: Snapshot) -> Iterator[Subject]:
    if seen.workers or seen.workers_wanted:
        yield (), seen


def _each_worker(seen: Snapshot) -> Iterator[Subject]:
    for one in seen.workers:
        yield (str(one.number),), one


OF_PROCESS = (
    Part("process", ("version", "verb"), _build, (
        gauge("consulfwd_build_info", "Which version runs, and what it does; always 1.",
              lambda _: 1),
    )),
    Part("process", (), _process, (
        gauge("consulfwd_ready", "Whether it does what it is for.", lambda one: one.ready),
        gauge("consulfwd_faults", "How many things are wrong now.", lambda one: len(one.faults)),
        gauge("consulfwd_snapshot_timestamp_seconds",
              "When what is told here was so; if that stands still, so does the process.",
              lambda one: one.taken),
        gauge("consulfwd_process_start_time_seconds", "When it started.", lambda one: one.started),
    )),
    Part("process", (), _admin, (
        counted("consulfwd_admin_requests_total", "requests", "Requests to the admin server."),
        counted("consulfwd_admin_errors_total", "errors",
                "Those of them that had an error for a reply."),
        counted("consulfwd_admin_refused_total", "refused",
                "Connections that the admin server had no room for."),
        counted("consulfwd_admin_dropped_total", "dropped",
                "Connections that it ended, as nobody read what it sent."),
        gauge("consulfwd_admin_connections", "Connections to the admin server.",
              lambda one: one.get("connections")),
        gauge("consulfwd_admin_streams", "Those of them with a reply that goes on.",
              lambda one: one.get("streams")),
        counted("consulfwd_querylog_written_total", "querylog_written",
                "Queries that were logged."),
        counted("consulfwd_querylog_dropped_total", "querylog_dropped",
                "Queries that were not logged, as whoever takes them was too slow."),
        gauge("consulfwd_querylog_tails", "How many look on at queries.",
              lambda one: one.get("querylog_tails")),
        counted("consulfwd_querylog_tails_dropped_total", "querylog_tails_dropped",
                "Queries that those did not see, as they read too slowly."),
        counted("consulfwd_dnstap_written_total", "dnstap_written",
                "Messages that were sent by dnstap."),
        counted("consulfwd_dnstap_dropped_total", "dnstap_dropped",
                "Messages that were not sent by dnstap, as whoever takes them was too slow."),
        gauge("consulfwd_dnstap_connected", "Whether somebody takes them.",
              lambda one: one.get("dnstap_connected")),
    )),
)  # fmt: skip

OF_WORKERS = (
    Part("workers", (), _workers, (
        gauge("consulfwd_workers_wanted", "How many processes are to answer queries.",
              lambda one: one.workers_wanted),
        gauge("consulfwd_workers_answering", "Processes that answer queries now.",
              lambda one: sum(worker.answers for worker in one.workers)),
        counter("consulfwd_workers_replaced_total",
                "How often one ended, or hung, and another took its place.",
                lambda one: one.workers_replaced),
    )),
    Part("workers", ("worker",), _each_worker, (
        counter("consulfwd_worker_queries_total", "Queries that came to it since it began.",
                lambda one: one.queries),
    )),
)  # fmt: skip

# As the operating system counts it: by these names prometheus_client reads it.
OF_SYSTEM: tuple[tuple[str, Type, str], ...] = (
    ("consulfwd_process_cpu_seconds_total", "counter", "Processor time that it used."),
    ("consulfwd_process_resident_memory_bytes", "gauge", "Memory that it has."),
    ("consulfwd_process_virtual_memory_bytes", "gauge", "Address space that it has."),
    ("consulfwd_process_open_fds", "gauge", "Files and sockets that it has open."),
    ("consulfwd_process_max_fds", "gauge", "How many it may have open."),
)

OF_ROUNDS = (
    Part("files kept current", (), _rounds, (
        gauge("consulfwd_rounds_in_force", "Whether the files are in force as they are to be.",
              lambda one: one.in_force),
        gauge("consulfwd_rounds_failing", "Whether keeping them so fails.",
              lambda one: bool(one.failing_since)),
        gauge("consulfwd_rounds_written_timestamp_seconds", "When one was last written.",
              lambda one: one.wrote or None),
    )),
)  # fmt: skip

# Of a snapshot, in this order; those of zones are of `zone_metrics.reports` of it.
OF_SNAPSHOT = (*OF_PROCESS, *OF_RESOLVER, *OF_FAILOVER, *OF_ROUNDS, *OF_WORKERS)
PARTS = (*OF_SNAPSHOT, *OF_ZONES)
