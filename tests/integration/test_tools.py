"""What is tested elsewhere with tools of the tests' own, with the tools themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from consulfwd.apply.commands import Ran, run
from consulfwd.apply.steps import File, Job, apply
from consulfwd.errors import ApplyError
from consulfwd.servers.targets import TARGETS
from tests.cli.test_serve import works_to_the_letter


def test_what_the_embedded_default_prints_works_with_dig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nothing.yml").write_text("resolv_conf: /nonexistent/resolv.conf\n")
    monkeypatch.setenv("CONSULFWD_CONFIG", str(tmp_path / "nothing.yml"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    works_to_the_letter(tmp_path)


@pytest.mark.parametrize("good", [True, False])
def test_with_the_checker_of_bind(tmp_path: Path, good: bool) -> None:
    place = tmp_path / "consul.conf"
    place.write_text("old\n")
    (tmp_path / "zone.conf").write_text(
        'zone "consul" { type forward; forward only; forwarders { 127.0.0.1 port 8600; }; };\n'
    )
    text = 'include "zone.conf";\noptions { recursion yes; };\n'
    job = Job(
        (File(place, text if good else text + "forwarders {\n"),),
        check=("named-checkconf", "{file}"),
    )
    if good:
        assert apply(job).files == (place,)
        assert place.read_text() == text
    else:
        with pytest.raises(ApplyError) as caught:
            apply(job)
        assert f"{place}:3: " in caught.value.output
        assert "named-checkconf consul.conf` failed with exit code 1" in str(caught.value)
        assert place.read_text() == "old\n"
        assert {one.name for one in tmp_path.iterdir()} == {"consul.conf", "zone.conf"}


def test_no_check_runs_what_lies_beside_the_file(tmp_path: Path) -> None:
    # A directory of the server's user, a check by root.
    (tmp_path / "jit").mkdir()
    planted = f'os.execute("touch {tmp_path}/run"); return {{start = function() end}}'
    (tmp_path / "jit" / "bcsave.lua").write_text(planted)
    good, bad = tmp_path / "good.lua", tmp_path / "bad.lua"
    good.write_text("modules.load('policy')\n")
    bad.write_text("x = 1\nx == 2\n")
    check = TARGETS["kresd"].check

    def checked(file: Path) -> Ran:
        words = [word.replace("{file}", str(file)) for word in check]
        return run(words, timeout_s=60, folder=tmp_path)

    assert checked(good).wrong == ""
    assert not (tmp_path / "run").exists()
    assert "exit code 1" in checked(bad).wrong
    assert "bad.lua:2:" in checked(bad).output
