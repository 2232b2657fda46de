"""Where the cluster of the case would still fall: the audit on icinga1, held to what the case says.

It is looked at while nothing is broken, before those tests that break it; which servers lag is a
matter of the moment, so it may be looked at again.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.machines import PROJECT
from tests.e2e.record import HOST
from tests.e2e.site import Site, wait

PAGE = PROJECT / "docs" / "case-galera-icinga.md"
AUDIT = ("/opt/consulfwd/bin/consulfwd", "audit", "--service", "galeradb", "--fail-on", "never")
CALM_S = 60.0


def shown() -> str:
    """What the case says that the audit says."""
    found = re.search(r"\$ consulfwd audit --service galeradb\n(.*?)```", PAGE.read_text(), re.S)
    return found[1] if found else ""


def test_the_case_says_where_it_would_fall(cluster: Site, results: Path) -> None:
    said: list[str] = []

    def same() -> bool:
        said.append(cluster.machines[HOST].run(*AUDIT))
        return said[-1] == shown()

    def otherwise() -> str:
        results.mkdir(parents=True, exist_ok=True)
        (results / "audit.txt").write_text(said[-1])
        return f"the audit as {PAGE.name} has it, now {results / 'audit.txt'}:\n{said[-1]}"

    wait(same, otherwise, CALM_S)
