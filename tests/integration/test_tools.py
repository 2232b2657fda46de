"""What is tested elsewhere with tools of the tests' own, with the tools themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from consulfwd.apply.commands import Ran, run, shell
from consulfwd.apply.jobs import File, Job
from consulfwd.apply.running import nobody_there
from consulfwd.apply.steps import apply
from consulfwd.errors import ApplyError
from consulfwd.servers.targets import TARGETS
from tests.cli.test_serve import works_to_the_letter
from tests.integration.recursors import tool
from tests.loopback import free_port


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
        assert apply(job).places == (str(place),)
        assert place.read_text() == text
    else:
        with pytest.raises(ApplyError) as caught:
            apply(job)
        assert f"{place}:3: " in caught.value.output
        assert "named-checkconf consul.conf` failed with exit code 1" in str(caught.value)
        assert place.read_text() == "old\n"
        assert {one.name for one in tmp_path.iterdir()} == {"consul.conf", "zone.conf"}


NGINX = """pid {0}/nginx.pid;
error_log {0}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    {1}
}}
"""
UNBOUND = """remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: {0}/unbound.ctl
"""


@pytest.mark.parametrize("left", ["nothing", "an empty pid file", "the pid file of one that died"])
def test_nginx_says_that_it_does_not_run(tmp_path: Path, left: str) -> None:
    conf, pid = tmp_path / "nginx.conf", tmp_path / "nginx.pid"
    nginx = f"{tool('nginx')} -e {tmp_path}/error.log -c {conf}"
    reload = shell(f"{nginx} -t -q && {nginx} -s reload")
    if left != "nothing":
        # The greatest number a process can have, and one more.
        pid.write_text("" if "empty" in left else "4194304\n")
    conf.write_text(NGINX.format(tmp_path, ""))
    ran = run(reload, timeout_s=60)
    assert ran.wrong
    assert nobody_there(ran), ran.output
    # A bad file is bad, whoever runs.
    for wrong in ("nothing;", f"include {tmp_path}/none.conf;"):
        conf.write_text(NGINX.format(tmp_path, wrong))
        ran = run(reload, timeout_s=60)
        assert ran.wrong
        assert not nobody_there(ran), ran.output


def test_tools_of_servers_say_that_they_do_not_run(tmp_path: Path) -> None:
    (tmp_path / "unbound.conf").write_text(UNBOUND.format(tmp_path))
    port = str(free_port("127.0.0.9"))
    (tmp_path / "rndc.key").write_text(
        'key "rndc-key" { algorithm hmac-sha256; secret "c2VjcmV0"; };\n'
    )
    key = ("-k", str(tmp_path / "rndc.key"))
    for words in (
        ("rndc", *key, "-s", "127.0.0.9", "-p", port, "reconfig"),
        ("unbound-control", "-c", str(tmp_path / "unbound.conf"), "reload"),
        ("rec_control", f"--socket-dir={tmp_path}", "reload-zones"),
    ):
        ran = run(words, timeout_s=60)
        assert ran.wrong
        assert nobody_there(ran), ran.output


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
