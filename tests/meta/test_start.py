"""Resolving a name and asking a running process start fast: what is not needed is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.admin import Admin, running

CODE = """
import sys
from consulfwd.cli.main import main
try:
    main()
finally:
    print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules loaded once `consulfwd resolve --short localhost` has answered."""
    answer, modules = run("resolve", "--short", "localhost")
    assert answer == "127.0.0.1"
    return modules


def run(*words: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that are loaded then."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True
    )
    printed, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return printed, set(modules.split())


@pytest.mark.parametrize(
    "name",
    [
        *("consulfwd.daemon", "consulfwd.net.udp", "consulfwd.net.tcp", "consulfwd.dev"),
        "consulfwd.config.schema",
        *("aiohttp", "dns", "difflib", "jinja2", "json", "prometheus_client", "pydantic"),
    ],
)
def test_resolve_does_without(loaded: set[str], name: str) -> None:
    assert "consulfwd.net.resolver" in loaded
    assert name not in loaded


def test_status_does_without(tmp_path: Path) -> None:
    with Admin(tmp_path / "serve.sock", running()) as process:
        printed, loaded = run("status", "--socket", str(process.path))
    assert "all is well" in printed
    assert "consulfwd.ops.text.status" in loaded
    parts = {f"consulfwd.{part}" for part in ("api", "config", "core", "dns", "net", "server")}
    others = {"aiohttp", "asyncio", "dns", "dnslib", "jinja2", "prometheus_client", "yaml"}
    assert loaded & (parts | others) == set()


def test_a_server_nobody_looks_at_does_without(tmp_path: Path) -> None:
    config = tmp_path / "consulfwd.yml"
    config.write_text(json.dumps({
        "listen": ["127.0.0.1:0"],
        "resolv_conf": str(tmp_path / "none"),
        "consul": {"agents": [{"address": "127.0.0.1", "dns_port": 1, "http_port": 1}]},
        "admin": {"socket": str(tmp_path / "serve.sock")},
    }))  # fmt: skip
    command = [sys.executable, "-c", CODE, "serve", "-c", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stderr is not None
            while "to be looked at" not in (line := process.stderr.readline()):
                assert line
            process.terminate()
            printed, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    loaded = set(printed.split())
    assert "consulfwd.ops.admin.server" in loaded
    rooms = ("admin.routes", "admin.pictures", "metrics", "page", "orders")
    assert loaded & {f"consulfwd.ops.{one}" for one in rooms} == set()
    heavy = {"prometheus_client", "google.protobuf", "jinja2", "aiohttp", "dns", "email", "sqlite3"}
    assert loaded & heavy == set()
