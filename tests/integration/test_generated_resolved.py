"""systemd-resolved with the generated drop-in: who is asked, and that every domain is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Guard
from consulfwd.generate.building import build
from consulfwd.servers.targets import TARGETS
from consulfwd.template.renderer import Renderer
from tests.integration.answering import ADDRESS as ANSWER
from tests.integration.asking import data
from tests.integration.namespaces import FAR, Host
from tests.integration.resolved import ADDRESS, networked, resolved
from tests.integration.test_generated_link_local import NAME, LinkLocalAgent

VERSION = (252,)
# With consul, 256 domains.
WIDE = [f"{10 + n}.0.0.0/{9 + n}" for n in range(8)]


def drop_in(consul: dict[str, Any]) -> str:
    given: dict[str, Any] = {"consul": consul}
    site = build(Settings(**given), VERSION, kinds=TARGETS["resolved"].kinds)
    return Renderer().render("resolved/consul.conf.j2", {"site": site})


@pytest.fixture
def host() -> Iterator[Host]:
    with networked() as made:
        yield made


def test_a_link_local_agent_is_asked(host: Host, guard: Guard, tmp_path: Path) -> None:
    text = drop_in({"agents": [f"{FAR}%lan"], "reverse": WIDE})
    domains = text.splitlines()[-1].split()
    assert len(domains) == 256
    agent = LinkLocalAgent()
    try:
        with resolved(host, "", tmp_path / "resolved", guard, given=text):
            reply = dns.query.udp(dns.message.make_query(NAME, "A"), ADDRESS, 5.0)
            assert data(reply, "A") == {ANSWER}
    finally:
        agent.close()
    assert "ignoring" not in (tmp_path / "resolved" / "log").read_text()


def test_one_domain_more_is_one_too_many(host: Host, guard: Guard, tmp_path: Path) -> None:
    """The limit is resolved's own."""
    text = drop_in({"agents": ["10.3.0.2"], "reverse": WIDE}).rstrip("\n")
    with resolved(host, "", tmp_path / "resolved", guard, given=f"{text} ~one.more\n"):
        pass
    said = (tmp_path / "resolved" / "log").read_text()
    assert "Failed to add search domain '~one.more', ignoring: Argument list too long" in said


def test_a_dot_behind_the_tilde_is_no_route(host: Host, guard: Guard, tmp_path: Path) -> None:
    """So the domain is written without."""
    text = drop_in({"agents": ["10.3.0.2"]})
    assert "\nDomains=~consul\n" in text
    wrong = text.replace("~consul\n", "~.consul\n")
    with resolved(host, "", tmp_path / "resolved", guard, given=wrong):
        pass
    said = (tmp_path / "resolved" / "log").read_text()
    assert "Failed to add search domain '~.consul', ignoring" in said
