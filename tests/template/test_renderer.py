"""Templates: strict, in a sandbox, and clear about what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.errors import TemplateError
from consulfwd.template.renderer import Renderer, packaged


def renderer(folder: Path, **templates: str) -> Renderer:
    (folder / "site").mkdir()
    for name, text in templates.items():
        (folder / "site" / f"{name}.j2").write_text(text)
    return Renderer([folder])


def test_a_users_template_comes_before_the_packaged_one(tmp_path: Path) -> None:
    assert (packaged() / "bind" / "consul.conf.j2").is_file()
    (tmp_path / "bind").mkdir()
    (tmp_path / "bind" / "consul.conf.j2").write_text("mine: {{ x }}\n")
    assert Renderer([tmp_path]).render("bind/consul.conf.j2", {"x": 1}) == "mine: 1\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("one\n{{ two }}\n", 2, "'two' is undefined"),
        ("one\n\n{{ three.four }}\n", 3, "has no attribute 'four'"),
        ("{% for x in y %}\n", 1, "Unexpected end of template"),
        ("one\n{{ a b }}\n", 2, "expected token"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("\n{{ evil }}", 2, "control characters: 'a\\nb'"),
        ("{{ evil | string }}", 1, "control characters"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ("{% include 'site/none.j2' %}", None, "no such template"),
        ("one\n{% include 'site/b.j2' %}", 1, "'nothing' is undefined"),
    ],
)
def test_errors_name_template_line_and_variable(
    tmp_path: Path, text: str, line: int | None, said: str
) -> None:
    made = renderer(tmp_path, a=text, b="{{ nothing }}")
    with pytest.raises(TemplateError) as caught:
        made.render("site/a.j2", {"evil": "a\nb", "three": {}})
    assert said in caught.value.what
    assert caught.value.line == line
    assert str(caught.value).startswith(caught.value.template)


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no such template"):
        Renderer([tmp_path]).render("site/none.j2", {})
    with pytest.raises(TemplateError, match="cannot be read"):
        Renderer().render_file(tmp_path / "none", {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match="not UTF-8"):
        Renderer().render_file(tmp_path / "binary", {})


def test_any_file_is_a_template_and_its_errors_name_it(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf.tpl"
    file.write_text("{% for one in all %}\n{{ one }}\n{% endfor %}\n{{ more }}\n")
    free = Renderer(free=True, names={"double": lambda one: one * 2})
    assert free.render_file(file, {"all": ["a\nb"], "more": 1}) == "a\nb\n1\n"
    with pytest.raises(TemplateError) as caught:
        free.render_file(file, {"all": []})
    assert (caught.value.template, caught.value.line) == (str(file), 4)
    file.write_text("{{ double(2) }}")
    assert free.render_file(file, {}) == "4"


def test_line_breaks_of_the_template_are_kept(tmp_path: Path) -> None:
    made = renderer(tmp_path, a="a\n  {% if true %}\n  b\n  {% endif %}\nc\n")
    assert made.render("site/a.j2", {}) == "a\n  b\nc\n"


def test_what_strangers_wrote_is_told_in_one_short_line(tmp_path: Path) -> None:
    template = tmp_path / "motd.tpl"
    template.write_text("{{ refuse('no ' ~ value) }}")
    with pytest.raises(TemplateError) as caught:
        Renderer(free=True).render_file(template, {"value": "\nERROR \x1b[2J" + 9999 * "x"})
    assert str(caught.value).startswith(f"{template}:1: no ?ERROR ?[2Jxxx")
    assert str(caught.value).isprintable()
    assert len(caught.value.what) < 500


def test_a_users_template_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bind").symlink_to("bind")
    with pytest.raises(TemplateError, match=r"consul\.conf\.j2 cannot be read: Too many levels"):
        Renderer([tmp_path]).render("bind/consul.conf.j2", {})
