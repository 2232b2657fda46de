"""Which libraries resolve names in the tests of clients, and what each calls what it is told.

What belongs here is what is known of the libraries, and how the programs that use them are built. A
library that is updated may change it: then the words here do.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.integration.recursors import tool
from tests.integration.resolved import ADDRESS as RESOLVED
from tests.integration.resolved import CACHE

CLIENTS = Path(__file__).parent / "clients"
SCRIPTS = Path(__file__).parents[2] / "scripts"
SERVERS = ("127.0.0.1", "127.0.0.2")
SEARCH = ("service.consul", "example.test")
ALL = frozenset({"any", "a", "aaaa", "srv", "ptr"})


@dataclass(frozen=True)
class Library:
    """`command` begins with a program or a name of `build`; `kinds` are what it can be asked for.

    `absent`, `nodata` and `failed` are its words for a name that does not exist, one without such
    records, and a server that failed; `searches` tells whether it follows `search` of resolv.conf.
    `gives_up` is its word for having waited long enough, where that may be sooner than we do;
    `again_s` is when it asks again.
    `most` is how many addresses it takes, `whole_tcp` whether it asks over TCP for what is cut.
    """

    name: str
    command: Sequence[str]
    absent: str
    nodata: str
    failed: str
    kinds: frozenset[str] = ALL
    options: str = "edns0"
    servers: Sequence[str] = SERVERS[:1]
    searches: bool = True
    gives_up: str = ""
    again_s: float = 5.0
    other_words: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    most: int | None = None
    whole_tcp: bool = True

    @property
    def resolv_conf(self) -> str:
        """Its resolv.conf; by default with what `packaging/host-dns` writes."""
        servers = "".join(f"nameserver {server}\n" for server in self.servers)
        return f"search {' '.join(SEARCH)}\n{servers}options {self.options}\n"

    def words(self, kind: str) -> tuple[str, str, str]:
        """Absent, no data, failed, for this kind of question."""
        return self.other_words.get(kind, (self.absent, self.nodata, self.failed))


C_WORDS = ("EAI_NONAME", "EAI_NODATA", "EAI_AGAIN")
RES_QUERY_WORDS = ("HOST_NOT_FOUND", "NO_DATA", "TRY_AGAIN")


def _glibc(options: str) -> Library:
    return Library(
        f"glibc {options}".strip(),
        ("glibc",),
        *C_WORDS,
        options=options,
        again_s=1.0 if "timeout:1" in options else 5.0,
        servers=SERVERS if "rotate" in options else SERVERS[:1],
        other_words={"srv": RES_QUERY_WORDS, "ptr": (C_WORDS[0], C_WORDS[0], C_WORDS[2])},
    )


GLIBC = [
    _glibc(options)
    for options in (
        *("", "edns0", "use-vc", "single-request", "single-request-reopen"),
        *("rotate timeout:1", "edns0 trust-ad ndots:5"),
    )
]
MUSL = Library(
    "musl 1.2.5",
    ("musl of trixie",),
    *C_WORDS,
    other_words={"srv": RES_QUERY_WORDS, "ptr": (C_WORDS[0], C_WORDS[0], C_WORDS[2])},
    again_s=2.5,
    most=48,
)
OLD_MUSL = replace(
    MUSL,
    name="musl 1.2.3",
    command=("musl of bookworm",),
    nodata=C_WORDS[0],
    whole_tcp=False,
)
# LookupSRV tells what became of the last name of the search list, whatever came before.
GO = Library(
    "Go",
    ("go",),
    "IsNotFound",
    "IsNotFound",
    "IsTemporary",
    other_words={"srv": ("IsNotFound",) * 3},
)
# The same by way of systemd-resolved, as its resolv.conf is.
BY_RESOLVED = [
    replace(
        library,
        name=f"{library.command[0]} by systemd-resolved",
        servers=[RESOLVED],
        options="edns0 trust-ad",
    )
    for library in (GLIBC[0], GO)
]
JAVA = Library(
    "Java InetAddress",
    ("java", "inet"),
    "UnknownHostException Name or service not known",
    "UnknownHostException No address associated with hostname",
    "UnknownHostException Temporary failure in name resolution",
    kinds=frozenset({"any", "ptr"}),
    other_words={"ptr": ("UnknownHostException the address again",) * 3},
)
# Having asked again, it says that there was no answer, also when the next one is SERVFAIL.
JNDI = Library(
    "Java JNDI",
    ("java", "jndi"),
    "NameNotFoundException",
    "NamingException",
    "ServiceUnavailableException",
    searches=False,
    gives_up="CommunicationException",
    again_s=1.0,
)
NODE_LOOKUP = Library(
    "Node dns.lookup",
    ("node", "lookup"),
    "ENOTFOUND",
    "ENOTFOUND",
    "EAI_AGAIN",
    kinds=ALL - {"srv"},
)
NODE_RESOLVE = Library(
    "Node dns.resolve",
    ("node", "resolve"),
    "ENOTFOUND",
    "ENODATA",
    "ESERVFAIL",
    searches=False,
    again_s=2.0,
)
AIODNS = Library(
    "aiodns",
    ("aiodns",),
    "ARES_ENOTFOUND",
    "ARES_ENODATA",
    "ARES_ESERVFAIL",
    # Of a server that is fast otherwise it expects an answer in 0.25 s, then in twice that, ...
    gives_up="ARES_ETIMEOUT",
    again_s=2.0,
)
# It gives each family as long as we take to say that there was no answer.
DNSPYTHON = Library(
    "dnspython",
    ("dnspython",),
    "NXDOMAIN",
    "NoAnswer",
    "NoNameservers",
    gives_up="LifetimeTimeout",
    again_s=2.0,
)
PERL = Library("Net::DNS", ("perl",), "NXDOMAIN", "NOERROR", "SERVFAIL")
DIG = Library("dig", ("tools", "dig"), "NXDOMAIN", "NOERROR", "SERVFAIL")
HOST = Library("host", ("tools", "host"), "NXDOMAIN", "no record", "SERVFAIL")
GETENT = Library(
    "getent",
    ("tools", "getent"),
    *("exit code 2",) * 3,
    kinds=frozenset({"any", "a", "ptr"}),
)
LIBRARIES = [
    *(*GLIBC, MUSL, OLD_MUSL, GO, JAVA, JNDI, NODE_LOOKUP, NODE_RESOLVE, AIODNS, DNSPYTHON, PERL),
    *(DIG, HOST, GETENT, *BY_RESOLVED),
]


class Built:
    """The programs, built in a folder when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def command(self, library: Library) -> list[str | Path]:
        """What to run for a library."""
        first, *rest = library.command
        return [*self._programs[first], *rest]

    @functools.cached_property
    def _programs(self) -> dict[str, list[str | Path]]:
        glibc, go = self._folder / "glibc", self._folder / "go"
        musl = {release: self._folder / f"musl-{release}" for release in ("bookworm", "trixie")}
        source, strict = CLIENTS / "resolve.c", ("gcc", "-Wall", "-Werror")
        building = [
            _start(*strict, "-o", glibc, source, "-lresolv"),
            *(_start(*strict, *_with_musl(one, source), "-o", to) for one, to in musl.items()),
            _start("javac", "-d", self._folder, CLIENTS / "Resolve.java"),
            _start(_go(), "build", "-o", go, CLIENTS / "resolve.go", CGO_ENABLED="0"),
        ]
        for process in building:
            _, said = process.communicate()
            assert process.returncode == 0, said
        return {
            "glibc": [glibc],
            **{f"musl of {release}": [program] for release, program in musl.items()},
            "go": [go],
            # Each answer is to come from us.
            "java": [
                *(tool("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                *("-Dsun.net.inetaddr.ttl=0", "-Dsun.net.inetaddr.negative.ttl=0"),
                *("-cp", self._folder, "Resolve"),
            ],
            "node": [tool("node"), CLIENTS / "resolve.js"],
            "aiodns": [sys.executable, CLIENTS / "resolve_aiodns.py"],
            "dnspython": [sys.executable, CLIENTS / "resolve_dnspython.py"],
            "perl": [tool("perl"), CLIENTS / "resolve.pl"],
            "tools": [sys.executable, CLIENTS / "tools.py"],
        }


def _with_musl(release: str, source: Path) -> list[str | Path]:
    """What gcc is told for a program with the musl that `scripts/install-test-tools` fetched."""
    folder = CACHE / "musl" / release
    includes = next(folder.glob("usr/include/*-linux-musl"), None)
    assert includes is not None, f"there is no {folder}: scripts/install-test-tools fetches it"
    there = folder / "usr/lib" / includes.name
    begin, libc, end = [there / "crt1.o", there / "crti.o"], there / "libc.a", there / "crtn.o"
    found: list[str | Path] = ["-static", "-nostdinc", "-isystem", includes, "-nostdlib"]
    return [*found, *begin, source, libc, "-lgcc", end]


def _start(command: str, *words: str | Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # Others may be measuring.
        ["nice", "-n", "19", tool(command), *words],
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _go() -> str:
    """Go's toolchain: what is on PATH, or what `scripts/install-test-tools` fetched."""
    done = subprocess.run(
        [SCRIPTS / "install-go"], stdout=subprocess.PIPE, text=True, check=True, timeout=300
    )
    return done.stdout.strip()
