"""DNS cookies with real programs: BIND with the same secret takes ours, we its; dig is content."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
from dns.edns import GenericOption, OptionType

from consulfwd.dev.child import Child, Guard
from tests.integration.own_words import own_words
from tests.integration.recursors import own_copy
from tests.integration.served import Served, serve
from tests.loopback import free_port

HOST, SECRET, CLIENT = "127.0.0.1", "00112233445566778899aabbccddeeff", b"\7" * 8
# What has no cookie of its own is told BADCOOKIE: so it is seen what it takes.
CONFIG = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    recursion no;
    cookie-algorithm siphash24;
    cookie-secret "{secret}";
    require-server-cookie yes;
}};
controls {{ }};
zone "." {{ type primary; file "root.zone"; }};
"""
ROOT = "$TTL 60\n. SOA a. b. 1 60 60 60 60\n. NS a.\na. A 192.0.2.1\n"


@pytest.fixture
def named(guard: Guard, tmp_path: Path) -> Iterator[int]:
    """BIND with the secret: its port."""
    folder, port = tmp_path / "named", free_port(HOST)
    folder.mkdir()
    (folder / "root.zone").write_text(ROOT)
    config = CONFIG.format(folder=folder, port=port, host=HOST, secret=SECRET)
    (folder / "named.conf").write_text(config)
    file = folder / "named.conf"
    command: list[str | Path] = [own_copy("named", folder), "-g", "-n", "1", "-c", file]
    child = Child("named", command, folder / "log", guard)
    child.start()
    try:
        child.wait_until(lambda: " running" in own_words(child.log.read_text()), "running")
        yield port
    finally:
        child.kill()


@pytest.fixture
def served(guard: Guard, tmp_path: Path) -> Iterator[Served]:
    """consulfwd with the same; `localhost` is answered here."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{SECRET}\n")
    secrets.chmod(0o600)
    settings = {"cookies": {"enabled": True, "secret_file": str(secrets)}}
    quiet = {"consul": {"watch": {"enabled": False}, "quality": {"every": 0}}}
    with serve({**settings, **quiet}, tmp_path / "serve", guard) as served:
        yield served


def cookie_of(port: int, cookie: bytes, name: str) -> tuple[str, bytes]:
    """The rcode of a reply to a query with a cookie, and its cookie."""
    options: list[dns.edns.Option] = [GenericOption(OptionType.COOKIE, cookie)]
    query = dns.message.make_query(name, "A", use_edns=0, options=options)
    reply = dns.query.udp(query, HOST, 5.0, port)
    (found,) = [one.to_wire() for one in reply.options if one.otype == 10]
    assert found is not None
    return dns.rcode.to_text(reply.rcode()), found


def test_bind_and_consulfwd_take_each_others_cookies(named: int, served: Served) -> None:
    port = served.at[1]
    rcode, theirs = cookie_of(named, CLIENT, "a")
    assert rcode == "BADCOOKIE"
    assert cookie_of(named, theirs, "a")[0] == "NOERROR"
    # What is right stays as it is; what is not gets another.
    assert cookie_of(port, theirs, "localhost") == ("NOERROR", theirs)
    wrong = theirs[:-1] + bytes((theirs[-1] ^ 1,))
    assert cookie_of(port, wrong, "localhost")[1] != wrong
    _, ours = cookie_of(port, b"\10" * 8, "localhost")
    assert cookie_of(named, ours, "a")[0] == "NOERROR"
    assert cookie_of(named, ours[:-1] + b"\0", "a")[0] == "BADCOOKIE"


def test_dig_finds_the_cookie_good(served: Served) -> None:
    command = ["dig", f"@{HOST}", "-p", str(served.at[1]), "localhost", "+cookie", "+tries=1"]
    for how in ([], ["+tcp"]):
        said = subprocess.run([*command, *how], capture_output=True, text=True, check=True).stdout
        assert re.search(r"; COOKIE: [0-9a-f]{48} \(good\)", said), said
        assert "127.0.0.1" in said
