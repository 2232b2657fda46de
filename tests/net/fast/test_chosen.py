"""Whether the compiled fast lane is used is one variable's to say, which is no setting's."""

from __future__ import annotations

import pytest

from consulfwd.config.load import load
from consulfwd.net import _fast, fastlane


@pytest.mark.parametrize("word", ["no", "No", "off", "0", "false", " no "])
def test_it_can_be_done_without(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fastlane.VARIABLE, word)
    assert fastlane._found() is None
    assert load(None, {fastlane.VARIABLE: word}, {}).warnings == ()


@pytest.mark.parametrize("word", [None, "", "yes"])
def test_by_itself_it_is_used(word: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fastlane.VARIABLE, raising=False)
    if word is not None:
        monkeypatch.setenv(fastlane.VARIABLE, word)
    assert fastlane._found() is _fast


def test_one_built_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fastlane.VARIABLE, raising=False)
    monkeypatch.delattr(_fast, "Way")
    assert fastlane._found() is None
