"""docs/audit.md has the rules as they are, and what else it says of them is so."""

from __future__ import annotations

import re

import click

from consulfwd.audit.reading import DEPENDS_ON
from consulfwd.audit.rules import RULES
from consulfwd.cli.audit import audit
from tests.audit.document import PAGE, parts, rules


def test_the_rules_are_those_of_the_program() -> None:
    _, made, _ = parts(PAGE.read_text())
    assert made == rules(), "python -m tests.audit.document writes them"


def test_every_rule_has_an_id_of_its_own_and_all_its_texts() -> None:
    ids = [one.id for one in RULES]
    assert len(ids) == len(set(ids)) == 39
    for one in RULES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert one.title
        assert one.why
        assert one.mend
        assert "|" not in one.title + one.why + one.mend


def test_every_option_is_explained() -> None:
    text = PAGE.read_text()
    shared = {"--config", "--listen", "--agent", "--recursor", "--domain"}
    own = {name for one in audit.params if isinstance(one, click.Option) for name in one.opts}
    missing = {one for one in own - shared - {"-c"} if f"`{one}" not in text}
    assert missing == set()
    assert f"`{DEPENDS_ON}`" in text


def test_reports_in_documents_are_of_these_rules() -> None:
    ids = {one.id for one in RULES}
    for name in ("audit.md", "case-galera-icinga.md"):
        text = (PAGE.parent / name).read_text()
        assert set(re.findall(r"by (\d+) rules", text)) == {str(len(RULES))}
        assert set(re.findall(r"(?m)^  ([a-z-]+): .*\n      .*\n      mend: ", text)) <= ids
