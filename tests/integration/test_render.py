"""`consulfwd render` on real Consul: what it says, whom it follows, what it never does."""

from __future__ import annotations

import functools
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.own_words import own_words
from tests.integration.recursors import tool
from tests.integration.served import consul
from tests.loopback import free_port

HOST = "127.0.0.1"
EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx" / "upstream.conf.tpl"
LOCK = "service/web/leader"
PATIENCE_S = 40.0
Words = list[str | Path]
RENDER: Words = [sys.executable, "-X", "dev", "-W", "error", "-m", "consulfwd.cli.main", "render"]

EVERYTHING = """\
{% for one in service('galeradb') %}
instance {{ one.node }} {{ one.id }} {{ one.host }}:{{ one.port }} {{ one.status }}
{% endfor %}
all {{ service('mixed', passing=false) | length }} of which {{ service('mixed') | length }}
none {{ service('render-none') | length }}
services {{ services() | map(attribute='name') | join(' ') }}
{% for one in nodes() if one.name == 'texts' %}
node {{ one.name }} {{ one.address }} {{ one.meta.rack }} {{ one.datacenter }}
{% endfor %}
key {{ key('render/a/x') }} {{ key('render/none', default='none') }}
keys {{ keys('render/a/') }}
leader {{ leader('render/none') }}
datacenters {{ datacenters() | join(' ') }}
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def holds(file: Path, text: str) -> bool:
    return file.read_text() == text


def settings(folder: Path, *agents: RealAgent) -> Path:
    file = folder / "consulfwd.yml"
    file.write_text(json.dumps({"consul": consul(*agents)}))
    return file


@contextmanager
def rendering(
    folder: Path, guard: Guard, agents: Sequence[RealAgent], *what: str
) -> Iterator[Child]:
    """`consulfwd render --watch` for as long as the block lasts; it must end in order."""
    command: Words = [
        *RENDER,
        "--watch",
        "--quiescence",
        "1:4",
        "-c",
        settings(folder, *agents),
        *what,
    ]
    child = Child("consulfwd render", command, folder / "render.log", guard)
    child.start()
    try:
        yield child
        assert child.running, child.tail()
        child.terminate()
        log = child.log.read_text()
        assert log.endswith("stopped\n"), log
        assert "Traceback" not in log
    finally:
        child.kill()


def said(child: Child, text: str) -> int:
    """How often its log says something."""
    return child.log.read_text().count(text)


def session(cluster: RealCluster, node: str) -> str:
    """A session of a node that does not depend on any check; its lock may be taken at once."""
    body = {"Node": node, "LockDelay": "0s", "Checks": [], "NodeChecks": [], "TTL": "600s"}
    made: str = cluster.http("PUT", "/v1/session/create", body)["ID"]
    return made


def acquire(cluster: RealCluster, holder: str) -> bool:
    return cluster.http("PUT", f"/v1/kv/{LOCK}?acquire={holder}", "primary") is True


def write(agent: RealAgent, value: int) -> bool:
    return agent.http("PUT", "/v1/kv/render/value", value) is True


@pytest.fixture
def keys(cluster: RealCluster) -> Iterator[Callable[[str, object], None]]:
    """Writes keys under render/, as JSON; they are gone afterwards."""
    yield lambda key, value: cluster.http("PUT", f"/v1/kv/render/{key}", value)
    cluster.http("DELETE", "/v1/kv/render/?recurse")


class Backend:
    """An HTTP server that answers with its name."""

    def __init__(self, name: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.name = name
        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def pair(cluster: RealCluster) -> Iterator[tuple[Backend, Backend]]:
    """Two instances of `web` on nodes of their own, each able to answer."""
    backends = Backend("render-a"), Backend("render-b")
    for one in backends:
        cluster.register(one.name, "web", address=HOST, port=one.port, service_id=one.name)
    yield backends
    for one in backends:
        cluster.deregister(one.name)
        one.stop()
    cluster.http("DELETE", f"/v1/kv/{LOCK}")
    cluster.settle()


NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/upstream.conf;
    server {{
        listen {host}:{port};
        location / {{ proxy_pass http://web; }}
    }}
}}
"""


def get(port: int) -> str:
    """What is answered at a port: a name, or a status if that is not 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else str(response.status)
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def test_nginx_follows_the_holder_of_a_lock(
    cluster: RealCluster, guard: Guard, pair: tuple[Backend, Backend], tmp_path: Path
) -> None:
    first, second = pair
    port = free_port(HOST)
    dest, ran, conf = tmp_path / "upstream.conf", tmp_path / "ran", tmp_path / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    conf.write_text(NGINX.format(user=user, folder=tmp_path, host=HOST, port=port))
    nginx = f"{tool('nginx')} -e {tmp_path}/error.log -c {conf}"
    holder = session(cluster, first.name)
    assert acquire(cluster, holder)
    cluster.settle()

    once: Words = [*RENDER, "-c", settings(tmp_path, *cluster.servers), f"{EXAMPLE}:{dest}"]
    subprocess.run(once, check=True, capture_output=True, timeout=60)
    assert dest.read_text().startswith(f"# primary: {first.name}\nupstream web {{\n")
    assert f"server {HOST}:{first.port};\n" in dest.read_text()
    assert f"server {HOST}:{second.port} down;\n" in dest.read_text()

    server = Child("nginx", nginx.split(), tmp_path / "nginx.log", guard)
    server.start()
    command = f"{nginx} -t -q && {nginx} -s reload && echo reloaded >> {ran}"
    try:
        server.wait_until(lambda: get(port) == first.name, "answering")
        # What is taken away is written again: from then on it follows.
        dest.unlink()
        with rendering(tmp_path, guard, cluster.servers, f"{EXAMPLE}:{dest}:{command}"):
            wait_until(ran.exists, "it follows")
            ran.unlink()
            before = dest.stat().st_ino
            # The holder dies, and the other one takes over.
            other = session(cluster, second.name)
            first.stop()
            cluster.http("PUT", f"/v1/session/destroy/{holder}")
            wait_until(lambda: acquire(cluster, other), "the lock is free")
            wait_until(lambda: f"# primary: {second.name}\n" in dest.read_text(), "followed")
            wait_until(lambda: get(port) == second.name, "nginx asks the other one")
            # Its shell makes the file before it writes.
            wait_until(lambda: ran.exists() and ran.read_text(), "the command was run")
            assert ran.read_text() == "reloaded\n"
            assert dest.stat().st_ino != before
            # Nobody holds it: nobody is asked.
            cluster.http("PUT", f"/v1/session/destroy/{other}")
            wait_until(lambda: "# primary: nobody" in dest.read_text(), "nobody is named")
            wait_until(lambda: get(port) == "502", "nobody is asked")
    finally:
        server.terminate()
        server.kill()


def test_nginx_finds_its_file_when_it_starts(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    port = free_port(HOST)
    template, dest, conf = (tmp_path / name for name in ("a.tpl", "upstream.conf", "nginx.conf"))
    user = "user root;" if os.getuid() == 0 else ""
    conf.write_text(NGINX.format(user=user, folder=tmp_path, host=HOST, port=port))
    template.write_text("upstream web { server 127.0.0.1:9 down; }\n")
    nginx = f"{tool('nginx')} -e {tmp_path}/error.log -c {conf}"
    server = Child("nginx", nginx.split(), tmp_path / "nginx.log", guard)
    command = f"{nginx} -t -q && {nginx} -s reload"
    with rendering(tmp_path, guard, cluster.servers, f"{template}:{dest}:{command}") as child:
        wait_until(lambda: said(child, "in force once its server starts"), "it found nobody")
        assert dest.read_text() == template.read_text()
        server.start()
        try:
            # It is told as soon as it can be: it might have read an older one.
            server.wait_until(lambda: get(port) == "502", "answering")
            wait_until(lambda: said(child, "(reloaded)"), "it was told")
            assert said(child, "mended after") == 1
            # Only for want of nginx is a file kept: this one nginx refuses.
            template.write_text("upstream web {\n")
            wait_until(lambda: said(child, "rolled back"), "refused")
            assert dest.read_text() == "upstream web { server 127.0.0.1:9 down; }\n"
        finally:
            server.terminate()
            server.kill()


def test_all_that_can_be_asked(
    cluster: RealCluster, keys: Callable[[str, object], None], tmp_path: Path
) -> None:
    keys("a/x", 1)
    keys("a/y", 2)
    cluster.settle()
    template = tmp_path / "all.tpl"
    template.write_text(EVERYTHING)
    what: Words = [
        *RENDER,
        "-c",
        settings(tmp_path, *cluster.servers),
        "--dry-run",
        f"{template}:x",
    ]
    done = subprocess.run(what, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, own_words(done.stderr)) == (0, "")
    lines = done.stdout.splitlines()
    listed = cluster.http("GET", "/v1/health/service/galeradb")
    expected = [
        f"instance {one['Node']['Node']} {one['Service']['ID']}"
        f" {one['Service']['Address'] or one['Node']['Address']}:{one['Service']['Port']} passing"
        for one in sorted(listed, key=lambda one: str(one["Node"]["Node"]))
    ]
    assert lines[: len(expected)] == expected
    assert len(expected) == 3
    services = sorted(cluster.http("GET", "/v1/catalog/services"))
    assert lines[len(expected) :] == [
        "all 2 of which 1",
        "none 0",
        f"services {' '.join(services)}",
        "node texts 10.0.40.1 r1 dc1",
        "key 1 none",
        "keys {'render/a/x': '1', 'render/a/y': '2'}",
        "leader None",
        "datacenters dc1",
    ]


def test_a_template_made_invalid_leaves_the_old_file_and_is_told_once(
    cluster: RealCluster, guard: Guard, keys: Callable[[str, object], None], tmp_path: Path
) -> None:
    keys("value", 1)
    good, other = tmp_path / "good.tpl", tmp_path / "other.tpl"
    for one in (good, other):
        one.write_text(f"{one.name} {{{{ key('render/value') }}}}\n")
    dest, beside = tmp_path / "good", tmp_path / "other"
    with rendering(
        tmp_path, guard, cluster.servers, f"{good}:{dest}", f"{other}:{beside}"
    ) as child:
        wait_until(lambda: dest.exists() and beside.exists(), "rendered")
        good.write_text("good.tpl\n{{ nothing }}{{ key('render/value') }}\n")
        wait_until(lambda: said(child, "'nothing' is undefined"), "alarmed")
        for value in ("2", "3"):
            keys("value", int(value))
            text = f"other.tpl {value}\n"
            wait_until(functools.partial(holds, beside, text), "the other goes on")
        assert dest.read_text() == "good.tpl 1\n"
        assert said(child, f"{good}:2: 'nothing' is undefined") == 1
        good.write_text("mended {{ key('render/value') }}\n")
        wait_until(lambda: dest.read_text() == "mended 3\n", "mended")


def test_an_agent_that_dies_and_comes_back_never_empties_a_file(
    cluster: RealCluster, guard: Guard, keys: Callable[[str, object], None], tmp_path: Path
) -> None:
    mark = str(uuid.uuid4())
    keys("value", mark)
    cluster.settle()
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text(
        "{% for one in service('galeradb') %}{{ one.address }} {% endfor %}"
        "{{ keys('render/') | length }} {{ key('render/value', default='') }}\n"
    )
    addresses = "10.0.10.11 10.0.10.12 10.0.10.13 1"
    agent, *others = cluster.servers
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.01):
            seen.add(dest.read_text())

    looking = threading.Thread(target=look)
    with rendering(tmp_path, guard, [agent], f"{template}:{dest}") as child:
        wait_until(dest.exists, "rendered")
        looking.start()
        try:
            agent.kill()
            wait_until(lambda: said(child, "Consul cannot be asked"), "away")
            others[0].wait_until(others[0].knows_leader, "led")
            others[0].wait_until(lambda: write(others[0], 2), "writing")
            agent.restart()
            wait_until(lambda: dest.read_text() == f"{addresses} 2\n", "followed again")
            wait_until(lambda: said(child, "again"), "back")
        finally:
            stop.set()
            looking.join()
    # Nothing else was ever there, and what was known was there while Consul was away.
    assert f'{addresses} "{mark}"\n' in seen
    assert seen <= {f'{addresses} "{mark}"\n', f"{addresses} 2\n"}


def test_the_next_agent_is_followed_when_one_freezes(
    cluster: RealCluster, guard: Guard, keys: Callable[[str, object], None], tmp_path: Path
) -> None:
    keys("value", 1)
    cluster.settle()
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text("{{ key('render/value') }}")
    with rendering(tmp_path, guard, cluster.servers, f"{template}:{dest}") as child:
        wait_until(dest.exists, "rendered")
        cluster.servers[0].freeze()
        cluster.servers[1].wait_until(lambda: write(cluster.servers[1], 2), "writing")
        wait_until(lambda: dest.read_text() == "2", "followed at the next one")
        assert said(child, "Consul cannot be asked") == 0
