"""What lint says systemd passes over is passed over by systemd-resolved, and logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd.dev.child import Guard
from consulfwd.lint import Wanted, check
from tests.integration.namespaces import Host
from tests.integration.resolved import networked, resolved

AGENTS = "DNS=10.3.0.2:8600 10.3.0.3:8600"


@pytest.fixture
def host() -> Iterator[Host]:
    with networked() as made:
        yield made


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (f"[Resolve]\ndns={AGENTS[4:]}\nDomains=~consul\n", "resolved-ignored",
         "Unknown key 'dns' in section [Resolve], ignoring"),
        (f"[Network]\n{AGENTS}\nDomains=~consul\n", "resolved-ignored",
         "Unknown section 'Network'. Ignoring."),
        (f"[Resolve]\n{AGENTS} # servers\nDomains=~consul\n", "resolved-comment",
         "Failed to add DNS server address '#', ignoring"),
    ],
    ids=["letters", "section", "comment"],
)  # fmt: skip
def test_it_is_passed_over(
    text: str, code: str, said: str, host: Host, guard: Guard, tmp_path: Path
) -> None:
    file = tmp_path / "resolved.conf"
    file.write_text(text)
    report = check(file, Wanted(version="252"), lambda _: {}, lambda _: None)
    assert code in {one.code for one in report.findings}
    with resolved(host, "", tmp_path / "resolved", guard, given=text):
        pass
    assert said in (tmp_path / "resolved" / "log").read_text()
