"""The forms that the table of metrics is written in.

Pure; what metrics there are is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from consulfwd.ops.snapshot import TimesSeen

Type = Literal["counter", "gauge", "histogram"]
# Values of the labels, and what a sample is taken of.
Subject = tuple[tuple[str, ...], Any]


class Metric(NamedTuple):
    """One metric; `value` returns None where there is none, of a histogram TimesSeen."""

    name: str
    type: Type
    help: str
    value: Callable[[Any], float | TimesSeen | None]


class Part(NamedTuple):
    """Metrics of one kind of subject: `of` yields those there are, with the values of `labels`."""

    about: str
    labels: tuple[str, ...]
    of: Callable[[Any], Iterable[Subject]]
    metrics: tuple[Metric, ...]


def counter(name: str, what: str, value: Callable[[Any], float | None]) -> Metric:
    """Return a counter."""
    return Metric(name, "counter", what, value)


def gauge(name: str, what: str, value: Callable[[Any], float | None]) -> Metric:
    """Return a gauge."""
    return Metric(name, "gauge", what, value)


def counted(name: str, key: str, what: str) -> Metric:
    """Return a counter out of a mapping of them."""
    return counter(name, what, lambda counters: counters.get(key))
