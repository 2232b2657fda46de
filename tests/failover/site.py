"""A book with clocks that are turned by hand, and checks that are told."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.dns import const
from consulfwd.failover.book import Book
from consulfwd.failover.model import Address, Change, Given, Outcome, Result

NAME = "www.example.com"
ONE, TWO, OTHER = "192.0.2.1", "192.0.2.2", "198.51.100.1"
RESULTS = {"ok": Result.OK, "fail": Result.FAIL, "error": Result.ERROR}
# A time of day.
DAY = 1_700_000_000.0


def settings(*pools: Any, **values: Any) -> FailoverSettings:
    """A record; a pool is a list of addresses, or all of a pool."""
    made = [one if isinstance(one, dict) else {"addresses": one} for one in pools]
    return FailoverSettings(
        pools=made or [{"addresses": [ONE]}, {"addresses": [OTHER]}],  # type: ignore[arg-type]
        check={"tcp": {"port": 80}},  # type: ignore[arg-type]
        **values,
    )


class Site:
    """Records, and what is told of them."""

    def __init__(
        self,
        record: FailoverSettings | None = None,
        checker: CheckerSettings | None = None,
        *,
        now: float = 1_000.0,
        routed: Callable[[], bool] = lambda: True,
        others: dict[str, FailoverSettings] | None = None,
    ) -> None:
        self.now = now
        self.told: list[Change] = []
        self.book = Book(
            {NAME: record or settings(), **(others or {})},
            checker or CheckerSettings(),
            clock=lambda: self.now,
            wall=lambda: DAY + self.now,
            changed=self.told.append,
            routed=routed,
        )

    def check(self, name: str = NAME, took: float = 0.0, **results: str) -> Given | None:
        """Have addresses (`a1` is the first) be checked; return what is given then."""
        addresses = [one for record, one in self.book.targets() if record == name]
        for which, result in results.items():
            self.of(addresses[int(which[1:]) - 1], result, name=name, took=took)
        return self.book.given(name)

    def of(self, address: Address, result: str, name: str = NAME, took: float = 0.0) -> None:
        self.book.noted(name, address, Outcome(RESULTS[result], f"it was {result}", took))

    def ips(self, rtype: int = const.A, seed: int = 1) -> list[str] | None:
        """The addresses of an answer; None is SERVFAIL."""
        given = self.book.answer(NAME, rtype, random.Random(seed))
        return None if given is None else [str(one.ip) for one in given.addresses]

    def said(self, *kinds: str) -> list[str]:
        return [one.said for one in self.told if one.kind in kinds or not kinds]

    def kinds(self) -> list[str]:
        return [one.kind for one in self.told]


def ip(text: str) -> Any:
    return ip_address(text)
