"""Which tests on real servers share a process."""

from __future__ import annotations

import pytest

from tests.integration.scheduling import group

CUT = "tests/integration/test_network_cut.py"


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/integration/test_answers.py::test_it[consul-1.8.7-servers-a.b A]", "consul-1.8.7"),
        ("tests/integration/test_failover.py::test_it[consul-1.19.2-kill]", "consul-1.19.2"),
        ("tests/integration/test_failover.py::test_it[consul-modern-kill]", "consul-modern"),
        (f"{CUT}::test_it[consul-1.19.2-x-1]", f"{CUT} consul-1.19.2"),
        ("tests/integration/test_loops.py::test_it[no other]", "tests/integration/test_loops.py"),
        ("tests/integration/test_loops.py::test_it", "tests/integration/test_loops.py"),
    ],
)
def test_groups(nodeid: str, expected: str) -> None:
    assert group(nodeid) == expected
