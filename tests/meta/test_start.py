"""Resolving one name starts fast: what it does not need is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
sys.argv[1:] = ["resolve", "--short", "localhost"]
from consulfwd.cli.main import main
try:
    main()
finally:
    print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules loaded once `consulfwd resolve --short localhost` has answered."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    answer, modules = done.stdout.splitlines()
    assert answer == "127.0.0.1"
    return set(modules.split())


@pytest.mark.parametrize(
    "name",
    [
        *("consulfwd.daemon", "consulfwd.net.udp", "consulfwd.net.tcp", "consulfwd.dev"),
        *("aiohttp", "dns", "difflib", "jinja2", "json", "prometheus_client", "pydantic"),
    ],
)
def test_resolve_does_without(loaded: set[str], name: str) -> None:
    assert "consulfwd.net.resolver" in loaded
    assert name not in loaded
