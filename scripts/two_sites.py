"""The case of two sites: settings as documented, when what broke, where its recording is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent.parent / "docs"
CASE = DOCS / "case-two-sites.md"
PICTURE, RECORD = (DOCS / "pictures" / f"two-sites.{kind}" for kind in ("svg", "json"))
NAME = "www.example.com"
# How long it went on (seconds); from when to when the first site's server was dead, and our own
# line was cut.
END = 840
DEAD, CUT = (62, 300), (620, 740)


def documented() -> dict[str, Any]:
    """Return the settings that the document shows."""
    found = re.search(r"^```yaml\n(failover:.*?)^```", CASE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    made: dict[str, Any] = yaml.safe_load(found[1])
    return made


def settings(ca_file: Path, folder: Path) -> dict[str, Any]:
    """Return them for a run here: a certificate of our own, nobody else to ask."""
    made = documented()
    http = made["failover"][NAME]["check"]["http"]
    http.update(url=f"https://{NAME}/health", ca_file=str(ca_file))
    (folder / "state").mkdir(exist_ok=True)
    nobody = {"agents": [{"address": "127.0.0.1", "dns_port": 9, "http_port": 9}]}
    return {
        **made,
        "failover_checker": {"state": str(folder / "state")},
        "consul": nobody,
        "recursors": ["127.0.0.1:9"],
        "admin": {"socket": str(folder / "serve.sock")},
    }
