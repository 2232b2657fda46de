"""System calls, as perf and strace count them."""

from __future__ import annotations

import pytest

from benchmarks.asking import Report
from benchmarks.calls import from_perf, from_strace, per_answer

PERF = """# started on Mon Nov 30 09:50:00 2026

3012,,raw_syscalls:sys_enter,1000142,100.00,,
1002,,syscalls:sys_enter_epoll_wait,1000142,100.00,,
1000,,syscalls:sys_enter_sendmmsg,1000142,100.00,,
0,,syscalls:sys_enter_futex,1000142,100.00,,
<not counted>,,syscalls:sys_enter_poll,0,100.00,,
"""
STRACE = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000300           0      1002           epoll_wait
 40.00    0.000200           0      2010      1005 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000500           0      3012      1005 total
"""


def test_perf_counts_all_and_those_it_was_told_to() -> None:
    assert from_perf(PERF) == {"total": 3012, "epoll_wait": 1002, "sendmmsg": 1000, "futex": 0}


def test_strace_counts_with_errors_and_without() -> None:
    assert from_strace(STRACE) == {"epoll_wait": 1002, "recvfrom": 2010, "total": 3012}


def test_counts_are_told_per_answer() -> None:
    report = Report(1000, 1000, 0, 500.0, 0.1, 1.0, 87)
    found = per_answer("strace", from_strace(STRACE), report)
    assert (found.by, found.answers, found.rate) == ("strace", 1000, 500.0)
    assert found.total == pytest.approx(3.012)
    assert found.most() == "recvfrom 2.01, epoll_wait 1.00"
    assert found.most(1) == "recvfrom 2.01, others 1.00"
    said = per_answer("perf", from_perf(PERF), report).most()
    assert said == "epoll_wait 1.00, sendmmsg 1.00, others 1.01"


def test_nothing_answered_is_no_error_here() -> None:
    nothing = per_answer("perf", {}, Report(0, 0, 10, 0.0, 0.0, 0.0, 0))
    assert (nothing.total, nothing.most()) == (0.0, "")
