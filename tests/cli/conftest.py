"""The command line as a shell runs it: words in; exit code, output and errors back."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.cli.main import main
from tests.cli.background import Background
from tests.net.world import PATIENT


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """The output with times and random ports blotted out, blanks joined."""
        text = re.sub(r"\d+\.\d ms", "# ms", self.out)
        return re.sub(r" +", " ", re.sub(r"(?m)(?<![\d.])\d+\.\d+(?= |$)", "#", text))


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is the whole process's: put it back as it was."""
    root, other = logging.getLogger(), logging.getLogger("asyncio")
    handlers, level, others = list(root.handlers), root.level, other.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    other.setLevel(others)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `consulfwd` with these words, on a host without a configuration or recursors."""
    file = tmp_path / "nothing.yml"
    file.write_text("resolv_conf: /nonexistent/resolv.conf\nquery: {deadline: 0.3}\n")
    monkeypatch.setenv("CONSULFWD_CONFIG", str(file))
    monkeypatch.setattr("consulfwd.core.upstreams.AGENT", PATIENT)

    def consulfwd(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["consulfwd", *words])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert code is None or isinstance(code, int)
        return Ended(code or 0, out, err)

    return consulfwd


@pytest.fixture
def agents() -> Iterator[Background]:
    """Three agents with the example services."""
    with Background() as running:
        yield running


@pytest.fixture
def options(agents: Background) -> list[str]:
    """The options that name them."""
    return [word for name in agents.names for word in ("--agent", name)]
