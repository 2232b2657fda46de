"""The files of the status page: whole, ours alone, nothing in them that their policy forbids."""

from __future__ import annotations

import re

import pytest

from consulfwd.ops.page import assets

FILES = sorted(assets())


def test_each_has_its_type() -> None:
    kinds = {path: kind for path, (kind, _) in assets().items()}
    assert kinds.pop("/") == "text/html; charset=utf-8"
    assert kinds.pop("/page.css") == "text/css; charset=utf-8"
    assert "/page.js" in kinds
    assert set(kinds.values()) == {"text/javascript; charset=utf-8"}


@pytest.mark.parametrize("path", FILES)
def test_nothing_comes_from_elsewhere(path: str) -> None:
    text = assets()[path][1].decode()
    # A name, not an address: no browser asks for it.
    text = text.replace("http://www.w3.org/2000/svg", "")
    assert "//" not in re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.MULTILINE)
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.parametrize("path", FILES)
def test_all_it_names_is_there(path: str) -> None:
    text = assets()[path][1].decode()
    named = re.findall(r'(?:href|src)="(/[^"]*)"', text)
    named += [one[1:] for one in re.findall(r'from "(\./[^"]*)"', text)]
    assert set(named) - {"/status.json"} <= set(assets())
    assert set(assets()) - {path} >= set(re.findall(r'import "\.(/[^"]*)"', text))


def test_the_html_has_no_script_or_style_of_its_own() -> None:
    text = assets()["/"][1].decode()
    assert re.findall(r"<script[^>]*>([^<]+)", text) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(".js")])
def test_no_text_becomes_html_or_script(path: str) -> None:
    text = assets()[path][1].decode()
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function"
    assert re.findall(ways, text) == []
