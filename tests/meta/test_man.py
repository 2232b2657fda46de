"""Manual pages are made of what --help says: one for each command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REQUESTS = {"TH", "SH", "TP", "PP", "B", "BR", "nf", "fi"}


@pytest.fixture(scope="module")
def pages(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("man") / "man1"
    command = [sys.executable, str(project / "scripts" / "make-man"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return {one.stem: one.read_text(encoding="utf-8") for one in folder.glob("*.1")}


def test_each_command_has_one(pages: dict[str, str]) -> None:
    verbs = ("show", "plan", "apply", "watch", "serve", "explain", "status", "pause", "resume")
    assert {"consulfwd", "consulfwd-serve", "consulfwd-lock", "consulfwd-zone"} <= pages.keys()
    assert {f"consulfwd-zone-{verb}" for verb in verbs} <= pages.keys()
    asking = ("status", "explain", "cache-show", "cache-flush", "querylog-tail", "drain", "undrain")
    assert {f"consulfwd-{verb}" for verb in asking} <= pages.keys()
    named = re.findall(r"(?m)^\.BR (\S+) \(1\)$", "".join(pages.values()))
    assert {one.replace("\\-", "-") for one in named} <= pages.keys()


def test_nothing_in_them_is_a_request_but_ours(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        found = re.findall(r"(?m)^[.'](\w*)", text)
        assert set(found) <= REQUESTS, name
        assert "\b" not in text


def test_a_page_has_options_and_what_it_ends_with(pages: dict[str, str]) -> None:
    page = pages["consulfwd-zone-plan"]
    assert "\n.B \\-o, \\-\\-out FILE\n" in page
    assert "\n.SH EXIT STATUS\n0 nothing to do, 1 something would change" in page
