"""How programs resolve names through consulfwd: each by its own library, in front of real Consul.

Needs root, for network and mount namespaces: see `client_programs`. The libraries are those of
`client_libraries`; all programs ask beside one another, as on a host.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import ask
from tests.integration.client_libraries import (
    AIODNS,
    DNSPYTHON,
    LIBRARIES,
    MUSL,
    OLD_MUSL,
    SERVERS,
    Built,
    Library,
)
from tests.integration.client_programs import Desk, Program, Said, desk
from tests.integration.conftest import NEWEST
from tests.integration.listening import words as listening_at
from tests.integration.recursors import Recursor
from tests.integration.resolved import resolved
from tests.integration.served import at, consul, serve
from tests.integration.services import BIG, GALERA, QUERY

EACH = pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.name.replace(" ", "-"))

Question = tuple[str, str]
Tell = Callable[[str, object], None]
ABSENT, NODATA, FAILED = range(3)
DB = {"192.0.2.20", "2001:db8::20"}
WEB = {"10.0.20.11", "10.0.20.12", "fd00:20::13"}
GALERA_SRV = {f"0a000a0{n}.addr.dc1.consul:3306" for n in "bcd"}
BIG_SRV = ("srv", "big.service.consul")

# What is found, or one of the above.
QUESTIONS: Mapping[Question, set[str] | int] = {
    ("any", "galeradb.service.consul"): GALERA,
    ("any", "GaleraDB.Service.CONSUL"): GALERA,
    ("any", "galeradb.service.dc1.consul"): GALERA,
    ("any", "icinga-galera.galeradb.service.consul"): GALERA,
    ("any", f"{QUERY}.query.consul"): GALERA,
    ("any", "web.service.consul"): WEB,
    ("any", "v6only.service.consul"): {"fd00:60::1"},
    ("any", "big7.node.consul"): {"10.0.30.7"},
    # Consul answers with an alias out of its domain.
    ("any", "external.service.consul"): DB,
    ("any", "www.example.test"): {"192.0.2.10", "2001:db8::10"},
    ("any", "chain.example.test"): {"192.0.2.10", "2001:db8::10"},
    ("any", "nothing.service.consul"): ABSENT,
    # All its instances are critical.
    ("any", "failed.service.consul"): ABSENT,
    ("a", "web.service.consul"): WEB - {"fd00:20::13"},
    ("a", "v6only.service.consul"): NODATA,
    ("a", "external.service.consul"): {"192.0.2.20"},
    ("a", "nothing.service.consul"): ABSENT,
    ("aaaa", "web.service.consul"): {"fd00:20::13"},
    ("aaaa", "galeradb.service.consul"): NODATA,
    ("srv", "galeradb.service.consul"): GALERA_SRV,
    ("srv", "_galeradb._tcp.service.consul"): GALERA_SRV,
    ("srv", "v6only.service.consul"): {"six.node.dc1.consul:83"},
    ("srv", "_sip._tcp.example.test"): {"www.example.test:5060"},
    ("srv", "nothing.service.consul"): ABSENT,
    ("ptr", "10.0.10.11"): {"galera1.node.dc1.consul"},
    ("ptr", "10.0.30.7"): {"big7.node.dc1.consul"},
    ("ptr", "fd00:60::1"): {"six.node.dc1.consul"},
    ("ptr", "192.0.2.10"): {"www.example.test"},
    ("ptr", "10.0.99.9"): ABSENT,
}
# What is found by the search list alone: see `client_libraries.SEARCH`.
SHORT: Mapping[Question, set[str] | int] = {
    ("any", "galeradb"): GALERA,
    ("any", "www"): {"192.0.2.10", "2001:db8::10"},
    ("any", "neither.here"): ABSENT,
}
# What was asked before; what nobody asked before, of which each has one of its own.
KNOWN: Mapping[Question, set[str] | int] = {
    question: QUESTIONS[question]
    for question in (
        ("any", "galeradb.service.consul"),
        ("any", "web.service.consul"),
        ("srv", "galeradb.service.consul"),
    )
}
# Half of the libraries have their answers sooner.
UNNOTICED_S = 1.0
# `host` asks for MX, too, which was not asked before; a search list has several names asked.
STALE_S, FAILED_S = 6.0, 12.0


@dataclass
class Site:
    """The programs, all at their desk, and Consul."""

    cluster: RealCluster
    bind: Recursor
    built: Built
    desk: Desk
    programs: Mapping[str, Program]

    def settings(self, *addresses: str) -> dict[str, Any]:
        """Those of a server for the desk."""
        return {
            "listen": [f"{address}:53" for address in addresses],
            "consul": consul(*self.cluster.servers, reverse=["10.0.0.0/8", "fd00::/8"]),
            "recursors": [f"{self.bind.address}:{self.bind.port}"],
        }

    def start(self, library: Library, name: str = "") -> Program:
        """A program with a library."""
        command = self.built.command(library)
        return self.desk.start(name or library.name, command, library.resolv_conf)

    def ask_all(
        self, questions: Callable[[Library], Sequence[Question]]
    ) -> dict[str, dict[Question, Said]]:
        """What each library's program says to its questions; all are asked at once."""

        def answers(library: Library) -> dict[Question, Said]:
            program = self.programs[library.name]
            asked = [one for one in questions(library) if one[0] in library.kinds]
            return {(kind, name): program.ask(kind, name) for kind, name in asked}

        with ThreadPoolExecutor(len(LIBRARIES)) as pool:
            said = list(pool.map(answers, LIBRARIES))
        return {library.name: one for library, one in zip(LIBRARIES, said, strict=True)}


def expected(
    library: Library, questions: Mapping[Question, set[str] | int]
) -> dict[Question, tuple[str, ...] | str]:
    """What a library is to say to those of the questions it can be asked."""
    return {
        (kind, name): library.words(kind)[what] if isinstance(what, int) else tuple(sorted(what))
        for (kind, name), what in questions.items()
        if kind in library.kinds
    }


def all_expected(
    questions: Mapping[Question, set[str] | int],
) -> dict[str, dict[Question, tuple[str, ...] | str]]:
    """The same of each library, by its name."""
    return {library.name: expected(library, questions) for library in LIBRARIES}


def what(said: Mapping[str, Mapping[Question, Said]]) -> dict[str, dict[Question, object]]:
    """What was said, without how long it took."""
    return {name: {asked: one.what for asked, one in each.items()} for name, each in said.items()}


def took(said: Mapping[str, Mapping[Question, Said]]) -> dict[str, float]:
    """How long each library took at most."""
    return {name: max(one.took_s for one in each.values()) for name, each in said.items() if each}


def unnoticed(times: Mapping[str, float]) -> bool:
    """No library had to ask again, and most had nothing to wait for."""
    sooner = all(times[one.name] < one.again_s for one in LIBRARIES)
    return sooner and statistics.median(times.values()) < UNNOTICED_S


def tell(record_property: Tell, title: str, times: Mapping[str, float]) -> None:
    """Show the times."""
    each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in times.items())
    record_property("clients", f"{title}: seconds at most: {each}")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def site(
    cluster: RealCluster,
    bind: Recursor,
    built: Built,
    guard: Guard,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("desk")
    with desk(folder) as here:
        made = Site(cluster, bind, built, here, {})
        settings, python = made.settings(*SERVERS), listening_at(here.host.path, SERVERS)
        with (
            serve(settings, folder / "served", guard, python=python),
            resolved(here.host, SERVERS[0], folder / "resolved", guard),
        ):
            made.programs = {library.name: made.start(library) for library in LIBRARIES}
            for program in made.programs.values():
                program.wait()
            yield made


@pytest.fixture(scope="module")
def answers(site: Site) -> dict[str, dict[Question, Said]]:
    """What each library says while all is well."""

    def questions(library: Library) -> list[Question]:
        short = list(SHORT) if library.searches else []
        return [*QUESTIONS, *short, ("any", "big.service.consul"), BIG_SRV]

    said = site.ask_all(questions)

    def failed(library: Library) -> list[Question]:
        had = said[library.name].items()
        return [one for one, answer in had if answer.what == library.words(one[0])[2]]

    if any(map(failed, LIBRARIES)):
        # Agents before 1.18 say SERVFAIL of an address they do not know, which is no denial of one
        # that a busy machine has made look ill. Programs ask again, when that is forgotten.
        time.sleep(1.5)
        for name, more in site.ask_all(failed).items():
            said[name].update(more)
    return said


Answers = dict[str, dict[Question, Said]]


@EACH
def test_what_consul_has_is_what_the_program_gets(answers: Answers, library: Library) -> None:
    wanted = expected(library, QUESTIONS)
    assert {one: answers[library.name][one].what for one in wanted} == wanted


@EACH
def test_short_names(answers: Answers, library: Library) -> None:
    wanted = expected(library, SHORT) if library.searches else {}
    assert {one: answers[library.name][one].what for one in wanted} == wanted


@EACH
def test_sixty_instances(site: Site, answers: Answers, library: Library) -> None:
    said = answers[library.name]
    found = set(said["any", "big.service.consul"].found)
    if library.whole_tcp:
        assert len(found) == min(library.most or len(BIG), len(BIG))
    assert found
    assert found <= BIG
    if "srv" not in library.kinds:
        return
    reply = ask(at(site.cluster.servers[0]), BIG_SRV[1], "SRV", tcp=True)
    whole = {f"{one.target}:{one.port}".lower().replace(".:", ":") for one in reply.answer[0]}
    assert len(whole) == len(BIG)
    services = set(said[BIG_SRV].found)
    assert services == whole if library.whole_tcp else services and services <= whole


def lose(agent: RealAgent, how: str) -> None:
    """Have it answer no more, until it is healed."""
    if how == "frozen":
        agent.freeze()
    else:
        agent.kill()


@pytest.mark.parametrize("how", ["frozen", "dead"])
@NEWEST
def test_the_first_agent_is_lost(site: Site, how: str, record_property: Tell) -> None:
    first = site.cluster.servers[0]
    nodes = range(1, 31) if how == "frozen" else range(31, 61)
    node = {one.name: number for one, number in zip(LIBRARIES, nodes, strict=False)}

    def questions(library: Library) -> list[Question]:
        return [("any", f"big{node[library.name]}.node.consul"), *KNOWN]

    lose(first, how)
    said = site.ask_all(questions)
    times = took(said)
    tell(record_property, f"the first agent {how}", times)
    for name, number in node.items():
        one = said[name].pop(("any", f"big{number}.node.consul"))
        assert one.what == (f"10.0.30.{number}",), name
    assert what(said) == all_expected(KNOWN)
    assert unnoticed(times), times


@pytest.mark.parametrize("how", ["frozen", "dead"])
@NEWEST
def test_all_agents_are_lost(site: Site, how: str, record_property: Tell) -> None:
    """What was asked before is answered as it was; that nobody knows the rest is no denial."""
    number = {one.name: number for number, one in enumerate(LIBRARIES)}

    def known(_: Library) -> list[Question]:
        return list(KNOWN)

    def unknown(library: Library) -> list[Question]:
        # musl waits out its time whatever it is told: once is enough.
        if how == "dead" and library in (MUSL, OLD_MUSL):
            return []
        kind = "any" if how == "frozen" or "srv" not in library.kinds else "srv"
        return [(kind, f"{how}-{number[library.name]}.service.consul")]

    assert what(site.ask_all(known)) == all_expected(KNOWN)
    for agent in site.cluster.servers:
        lose(agent, how)
    noticing = site.ask_all(known)
    old = site.ask_all(known)
    new = site.ask_all(unknown)
    site.cluster.heal()
    again = site.ask_all(known)
    tell(record_property, f"all agents {how} just now, asked before", took(noticing))
    tell(record_property, f"all agents {how}, asked before", took(old))
    tell(record_property, f"all agents {how}, not asked before", took(new))
    tell(record_property, "all agents back", took(again))
    for library in LIBRARIES:
        for (kind, _), one in new[library.name].items():
            assert one.what in {library.words(kind)[FAILED], library.gives_up or None}, library
    assert what(noticing) == all_expected(KNOWN)
    assert what(old) == all_expected(KNOWN)
    assert max(took(noticing).values()) < STALE_S, took(noticing)
    assert max(took(new).values()) < FAILED_S, took(new)
    assert what(again) == all_expected(KNOWN)
    assert unnoticed(took(again)), took(again)


@pytest.mark.parametrize("library", [AIODNS, DNSPYTHON], ids=lambda one: one.name)
@NEWEST
def test_a_stale_answer_comes_before_the_library_gives_up(
    site: Site, guard: Guard, tmp_path: Path, library: Library
) -> None:
    """Nobody is to hear of an error while there is an answer (RFC 8767, the client response timer).

    c-ares expects a server that was fast to stay so, and gives up after 1.2 s or a little more;
    dnspython gives each family 2 s.
    """
    address = "127.0.0.3"
    settings, python = site.settings(address), listening_at(site.desk.host.path, [address])
    with serve(settings, tmp_path / "served", guard, python=python):
        program = site.start(replace(library, servers=[address]), f"{library.name} alone")
        for number in range(1, 11):
            known = program.ask("any", f"big{number}.node.consul")
            assert known.what == (f"10.0.30.{number}",)
        for agent in site.cluster.servers:
            agent.freeze()
        stale = program.ask("any", "big7.node.consul")
        site.cluster.heal()
    assert stale.what == ("10.0.30.7",), f"after {stale.took_s:.2f} s"
