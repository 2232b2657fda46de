"""Which names patterns mean."""

from __future__ import annotations

import pytest

from consulfwd.zones.globs import Globs


@pytest.mark.parametrize(
    ("patterns", "name", "meant"),
    [
        ((), "web", False),
        (("*",), "web", True),
        (("*", "!consul"), "consul", False),
        (("*", "!consul"), "consul-esm", True),
        (("!consul",), "web", True),
        (("!consul",), "consul", False),
        (("!web", "web"), "web", False),
        (("web-*",), "web", False),
        (("web-*",), "web-", True),
        (("web-[12]",), "web-3", False),
        (("web-?",), "web-12", False),
        (("WEB",), "web", True),
        (("web",), "Web", True),
        (("a|b",), "a", False),
        (("*",), "two\nlines", True),
    ],
)
def test_meant(patterns: tuple[str, ...], name: str, meant: bool) -> None:
    assert (name in Globs(patterns)) is meant
