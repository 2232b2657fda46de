"""Slices and servers as a benchmark would have found them."""

from __future__ import annotations

from typing import Any

from benchmarks.samples import Result, Sample

PLAIN: dict[str, Any] = {
    "answers": 1000, "cpu_us": 10.0, "rate": 1000.0, "latency_ms": 0.2, "slowest_ms": 3.0,
    "lost": 0, "errors": 0, "reply_bytes": 87, "core_share": 0.01, "other_load": 0.0,
}  # fmt: skip


def sample(**known: Any) -> Sample:
    """A slice that nobody disturbed, but for what is said."""
    return Sample(**{**PLAIN, **known})


def server(name: str, *samples: Sample, note: str = "") -> Result:
    """A server with these slices."""
    return Result(name, "1.0", [name], ["dnsperf"], note, list(samples))
