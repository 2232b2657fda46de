"""What the tests of targets share: an authority that signs for servers on this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consul import certificates


@pytest.fixture(scope="session")
def signed_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, agent.pem and agent.key for 127.0.0.1, and stranger.pem."""
    return certificates.make(tmp_path_factory.mktemp("signed-here"), "IP:127.0.0.1")
