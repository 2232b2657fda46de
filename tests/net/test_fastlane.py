"""Who has no compiled fast lane is told so, and how to get it."""

from __future__ import annotations

import pytest

from consulfwd.net import fastlane


def test_nothing_is_said_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "fast", object())
    assert fastlane.without() is None


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("", "install consulfwd again"),
        ("yes", "install consulfwd again"),
        ("No", "CONSULFWD_FAST_LANE turns the compiled fast lane off"),
        ("0", "CONSULFWD_FAST_LANE turns the compiled fast lane off"),
    ],
)
def test_where_it_is_not_it_is_told_why(
    monkeypatch: pytest.MonkeyPatch, wish: str, said: str
) -> None:
    monkeypatch.setenv(fastlane.VARIABLE, wish)
    monkeypatch.setattr(fastlane, "fast", None)
    told = fastlane.without()
    assert told is not None
    assert told.endswith(said)
    assert "\n" not in told
