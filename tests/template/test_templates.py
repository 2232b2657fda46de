"""Templates rendered until nothing is missing, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.apply.change import Applied
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.values import CatalogNode, KeyValue, Listed, Session
from consulfwd.errors import ApplyError, ConsulError, TemplateError, UsageError
from consulfwd.template import functions
from consulfwd.template import templates as templates_module
from consulfwd.template.templates import Destination, Templates, Unrendered, apply, destination

LOCK, SERVICES = Fact(FactKind.KEY, "lock"), Fact(FactKind.SERVICES)
CONSUL: dict[Fact, Any] = {
    LOCK: KeyValue("lock", b"v", "5e55"),
    Fact(FactKind.SESSION, "5e55"): Session("5e55", "n1"),
    Fact(FactKind.NODE, "n1"): CatalogNode("n1", "10.0.0.1", {}, "dc1"),
    SERVICES: (Listed("a", ()),),
}
DENIED = ConsulError("10.0.0.1:8600", 403, "keys x/: Permission denied")


class Told:
    """Knows what is asked for, of what `consul` says; `wants` has each demand."""

    def __init__(self, consul: dict[Fact, Any]) -> None:
        self.consul = consul
        self.known: dict[Fact, Any] = {}
        self.faults: dict[Fact, ConsulError] = {}
        self.wants: list[list[str]] = []
        self._wanted: set[Fact] = set()

    def want(self, facts: Iterable[Fact]) -> None:
        self._wanted = set(facts)
        self.wants.append(sorted(map(str, self._wanted)))
        self.known = {fact: self.known[fact] for fact in self._wanted if fact in self.known}

    async def ready(self) -> None:
        for fact in self._wanted:
            if fact in self.consul:
                self.known[fact] = self.consul[fact]
            else:
                self.faults[fact] = DENIED


def made(folder: Path, **texts: str) -> tuple[Templates, dict[str, Destination]]:
    found = {}
    for name, text in texts.items():
        file = folder / f"{name}.tpl"
        file.write_text(text)
        found[name] = Destination(file, folder / name, "true")
    return Templates(list(found.values())), found


def rendered(templates: Templates, told: Told) -> list[Any]:
    return list(asyncio.run(templates.texts(told)).values())


def test_rounds_go_on_until_nothing_is_missing(tmp_path: Path) -> None:
    templates, _ = made(tmp_path, a="{{ leader('lock').host }}", b="{{ services()[0].name }}")
    told = Told(CONSUL)
    assert rendered(templates, told) == ["10.0.0.1", "a"]
    assert told.wants == [
        ["key lock", "services"],
        ["key lock", "services", "session 5e55"],
        ["key lock", "node n1", "services", "session 5e55"],
        ["key lock", "node n1", "services", "session 5e55"],
    ]


def test_what_is_asked_for_no_more_is_forgotten(tmp_path: Path) -> None:
    templates, found = made(tmp_path, a="{{ leader('lock').host }}")
    told = Told(CONSUL)
    rendered(templates, told)
    found["a"].template.write_text("{{ services() | length }}")
    assert rendered(templates, told) == ["1"]
    assert told.wants[-1] == ["services"]


def test_a_template_that_fails_fails_alone_and_nothing_is_forgotten(tmp_path: Path) -> None:
    templates, found = made(tmp_path, a="{{ leader('lock').host }}", b="{{ services()[0].name }}")
    told = Told(CONSUL)
    rendered(templates, told)
    found["a"].template.write_text("\n{{ nothing }}{{ leader('lock').host }}")
    error, text = rendered(templates, told)
    assert isinstance(error, TemplateError)
    assert (error.template, error.line) == (str(found["a"].template), 2)
    assert "'nothing' is undefined" in str(error)
    assert text == "a"
    assert told.wants[-1] == ["key lock", "node n1", "services", "session 5e55"]


def test_what_consul_cannot_be_asked_for(tmp_path: Path) -> None:
    templates, _ = made(tmp_path, a="{{ keys('x/') }}", b="{{ services()[0].name }}")
    assert rendered(templates, Told(CONSUL)) == [DENIED, "a"]


def test_errors_of_functions_name_line_and_key(tmp_path: Path) -> None:
    templates, found = made(tmp_path, a="x\n{{ key('none') }}")
    (error,) = rendered(templates, Told({Fact(FactKind.KEY, "none"): None}))
    assert str(error).startswith(f"{found['a'].template}:2: there is no key 'none'")


def test_templates_ask_for_so_much_together_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (functions, templates_module):
        monkeypatch.setattr(module, "MOST_FACTS", 100)
    text = "{% for n in range({}, {}) %}{{ key('%d' % n) }}{% endfor %}"
    texts = {name: text.replace("{}", begin, 1).replace("{}", end, 1) for name, begin, end in (
        ("a", "0", "60"), ("b", "50", "101"), ("c", "40", "100"), ("d", "0", "300")
    )}  # fmt: skip
    told = Told({Fact(FactKind.KEY, str(n)): KeyValue(str(n), b"v") for n in range(300)})
    a, b, c, d = rendered(made(tmp_path, **texts)[0], told)
    assert (a, c) == (60 * "v", 60 * "v")
    assert "things are asked of Consul by this template and those before it" in str(b)
    assert "d.tpl:1: more than 100 things are asked of Consul" in str(d)
    assert len(told.wants[-1]) == 100


def test_a_template_that_never_has_enough(tmp_path: Path) -> None:
    chain: dict[Fact, Any] = {
        Fact(FactKind.KEY, f"k{n}"): KeyValue(f"k{n}", f"k{n + 1}".encode()) for n in range(100)
    }
    text = "{% set at = namespace(key='k0') %}{% for n in range(50) %}"
    text += "{% set at.key = key(at.key) %}{% endfor %}{{ at.key }}"
    templates, _ = made(tmp_path, a=text)
    (error,) = rendered(templates, Told(chain))
    assert "asks for ever more of Consul" in str(error)


def test_templates_beside_it_can_be_included(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("{{ services() | length }}")
    templates, _ = made(tmp_path, a="{% include 'part' %}")
    assert rendered(templates, Told(CONSUL)) == ["1"]


def test_jobs_of_files_with_a_text_are_applied_the_others_stay(tmp_path: Path) -> None:
    templates, found = made(tmp_path, a="{{ nothing }}", b="new", c="{{ keys('x/') }}")
    for one in found.values():
        one.path.write_text("old")
    texts = asyncio.run(templates.texts(Told(CONSUL)))
    jobs = templates.jobs(texts)
    assert [isinstance(job, Unrendered) for job in jobs] == [True, False, True]
    first, second, third = (result for _, result in apply(jobs))
    assert isinstance(first, ApplyError)
    assert str(first).startswith(f"{found['a'].path}: cannot be rendered, and stays as it is")
    assert "a.tpl:1: 'nothing' is undefined" in first.output
    assert isinstance(second, Applied)
    assert (second.places, second.reloaded) == ((str(found["b"].path),), True)
    assert isinstance(third, ApplyError)
    assert "Permission denied" in third.output
    assert [one.path.read_text() for one in found.values()] == ["old", "new", "old"]


def test_a_shared_command_is_run_once_and_only_after_a_change(tmp_path: Path) -> None:
    _, found = made(tmp_path, a="1", b="2", c="3")
    ran = tmp_path / "ran"
    shared = [one._replace(command=f"echo x >> {ran}") for one in found.values()]
    templates = Templates(shared)
    for _ in range(2):
        apply(templates.jobs(asyncio.run(templates.texts(Told({})))))
        assert ran.read_text() == "x\n"


@pytest.mark.parametrize(
    ("written", "template", "path", "command"),
    [
        ("a.tpl:/etc/a", "a.tpl", "/etc/a", ""),
        ("a.tpl:/etc/a:nginx -s reload", "a.tpl", "/etc/a", "nginx -s reload"),
        (r"a\:b:c\:d:echo a:b \: \\", "a:b", "c:d", r"echo a:b \: \\"),
        (r"a\\:b\c", "a\\", r"b\c", ""),
        ("a:b: true ", "a", "b", " true "),
    ],
)
def test_how_destinations_are_written(written: str, template: str, path: str, command: str) -> None:
    assert destination(written) == Destination(Path(template), Path(path), command)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "is not TEMPLATE:DEST"),
        ("a", "is not TEMPLATE:DEST"),
        ("a:", "is not TEMPLATE:DEST"),
        (":b", "is not TEMPLATE:DEST"),
        (r"a\:b", "is not TEMPLATE:DEST"),
        ("a:b:", "the command is empty"),
        ("a:b:  ", "the command is empty"),
    ],
)
def test_what_is_no_destination(written: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        destination(written)
