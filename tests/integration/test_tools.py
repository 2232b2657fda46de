"""What is tested elsewhere with tools of the tests' own, with the tools themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.render.apply import File, Job, apply
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
