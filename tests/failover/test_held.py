"""When states are held: our own line, targets that cannot be checked, too few that are heard."""

from __future__ import annotations

import pytest

from consulfwd.config.failover import CheckerSettings
from tests.failover.site import NAME, ONE, OTHER, TWO, Site, settings

API = "api.example.com"


def site_of_two(**values: object) -> Site:
    record = settings([ONE], [OTHER], fall=2, interval=10.0)
    others = {API: settings(["203.0.113.1"], ["203.0.113.2"], fall=2, interval=10.0)}
    site = Site(record, others=others, **values)  # type: ignore[arg-type]
    for name in (NAME, API):
        site.check(name, a1="ok", a2="ok")
    site.told.clear()
    return site


def rounds(site: Site, number: int, first: str, second: str, third: str, fourth: str) -> None:
    for _ in range(number):
        site.now += 10
        site.check(NAME, a1=first, a2=second)
        site.check(API, a1=third, a2=fourth)


def test_our_own_line_is_cut_and_it_is_said_once() -> None:
    site = site_of_two()
    rounds(site, 20, "error", "error", "error", "error")
    assert site.said() == ["nothing can be checked, all states are held: it was error"]
    assert site.book.held
    assert site.ips() == [ONE]
    rounds(site, 3, "ok", "ok", "ok", "ok")
    assert site.kinds() == ["held", "released"]
    assert site.book.held == ""


def test_what_looks_like_a_fail_meanwhile_is_none() -> None:
    site = site_of_two()
    rounds(site, 20, "fail", "error", "fail", "fail")
    assert site.kinds() == ["held"]
    assert site.ips() == [ONE]
    assert "cut" in site.book.view(NAME).addresses[0].last.reason  # type: ignore[union-attr]


@pytest.mark.parametrize(("routed", "given"), [(False, [ONE]), (True, ["203.0.113.9"])])
def test_all_fail_and_there_is_no_route(routed: bool, given: list[str]) -> None:
    record = settings([ONE], [OTHER], fall=2, all_down="203.0.113.9")
    site = Site(record, routed=lambda: routed)
    site.check(a1="ok", a2="ok")
    for _ in range(5):
        site.now += 10
        site.check(a1="fail", a2="fail")
    assert site.ips() == given
    assert ("there is no route" in site.book.held) is not routed


def test_targets_of_one_network_may_fail_together() -> None:
    site = Site(settings([ONE], [TWO], fall=2, all_down="203.0.113.9"), routed=lambda: False)
    site.check(a1="ok", a2="ok")
    for _ in range(5):
        site.now += 10
        site.check(a1="fail", a2="fail")
    assert site.ips() == ["203.0.113.9"]


def test_one_that_could_never_be_checked_says_nothing_of_the_line() -> None:
    site = Site(settings([ONE], [OTHER], fall=2), others={API: settings(["203.0.113.1"])})
    for _ in range(10):
        site.now += 10
        site.check(API, a1="error")
        site.check(a1="ok", a2="ok")
    for _ in range(3):
        site.now += 10
        site.check(API, a1="error")
        site.check(a1="fail", a2="ok")
    assert site.ips() == [OTHER]
    for _ in range(3):
        site.now += 10
        site.check(API, a1="error")
        site.check(a1="fail", a2="fail")
    assert site.book.view(NAME).given.pool is None  # type: ignore[union-attr]


def test_one_that_cannot_be_checked_is_told_once_too() -> None:
    site = site_of_two()
    rounds(site, 10, "ok", "ok", "error", "ok")
    assert site.said() == [f"{API}: 203.0.113.1 cannot be checked, its state is held: it was error"]
    assert site.book.held == ""
    assert site.book.view(API).held == "203.0.113.1 cannot be checked: it was error"
    rounds(site, 2, "ok", "ok", "ok", "ok")
    assert site.said()[1:] == [f"{API}: 203.0.113.1 can be checked again"]
    assert site.book.view(API).held == ""


QUORUM = CheckerSettings(checkers=("a", "b", "c"), max_age=40.0)


class Several:
    """Three checkers; each has a book, and hears all that are not cut off."""

    def __init__(self, **values: object) -> None:
        record = settings([ONE], [OTHER], fall=2, rise=1, **values)
        self.sites = {name: Site(record, QUORUM) for name in "abc"}
        self.cut: set[str] = set()

    def round(self, **results: str) -> None:
        """One interval: `a="fo"` is a failing first address at checker a, a well second one."""
        words = {"o": "ok", "f": "fail", "e": "error"}
        for name, site in self.sites.items():
            site.now += 10
            both = results.get(name, "oo")
            site.check(a1=words[both[0]], a2=words[both[1]])
        for who, site in self.sites.items():
            for other in self.sites.values():
                if site is other or not self.cut & {who, self.name(other)}:
                    other.book.heard(who, site.book.report())
        for name in self.cut:
            # Without Consul not even one's own word is heard.
            self.sites[name].book._heard.pop(name, None)
        for site in self.sites.values():
            site.book.turn()

    def name(self, site: Site) -> str:
        return next(name for name, one in self.sites.items() if one is site)

    def given(self) -> list[str]:
        return ["-" if one.ips() is None else one.ips()[0] for one in self.sites.values()]  # type: ignore[index]


def test_one_of_three_moves_nobody() -> None:
    several = Several()
    several.round()
    assert several.given() == [ONE] * 3
    for _ in range(20):
        several.round(b="fo")
    assert several.given() == [ONE] * 3
    votes = several.sites["a"].book.view(NAME).addresses[0].votes
    assert votes == ("a: up", "b: down", "c: up")


def test_two_of_three_do() -> None:
    several = Several()
    several.round()
    several.round(a="fo", b="fo")
    assert several.given() == [ONE] * 3
    several.round(a="fo", b="fo")
    assert several.given() == [OTHER] * 3
    several.round(a="oo", b="fo")
    assert several.given() == [ONE] * 3


def test_one_that_is_cut_off_moves_nobody_and_is_not_moved() -> None:
    several = Several()
    several.round()
    several.cut = {"c"}
    for _ in range(10):
        several.round(c="ff")
    assert several.given() == [ONE] * 3
    assert several.sites["a"].book.held == ""
    assert several.sites["c"].kinds().count("held") == 1
    assert "must agree" in several.sites["c"].book.held
    # What happens meanwhile is the others' to see.
    for _ in range(3):
        several.round(a="fo", b="fo", c="ff")
    assert several.given() == [OTHER, OTHER, ONE]
    several.cut = set()
    several.round(a="fo", b="fo", c="fo")
    assert several.given() == [OTHER] * 3
    assert several.sites["c"].book.held == ""


def test_one_that_cannot_check_has_no_vote() -> None:
    several = Several()
    several.round()
    for _ in range(3):
        several.round(a="eo", b="fo", c="eo")
    # One against nobody is no quorum.
    assert several.given() == [ONE] * 3
    several.round(a="fo", b="fo", c="eo")
    several.round(a="fo", b="fo", c="eo")
    assert several.given() == [OTHER] * 3


def test_no_guess_before_a_quorum() -> None:
    site = Site(settings([ONE], [OTHER]), QUORUM)
    other = Site(settings([ONE], [OTHER]))
    site.check(a1="ok", a2="ok")
    other.check(a1="ok", a2="ok")
    site.book.heard("a", site.book.report())
    assert site.ips() is None
    site.book.heard("stranger", other.book.report())
    assert site.ips() is None
    site.book.heard("b", other.book.report())
    assert site.ips() == [ONE]


def test_the_ttl_is_that_of_the_next_check_that_may_decide() -> None:
    several = Several(ttl=60)
    several.round()
    # Two checks against, of two checkers: the first may be on its way.
    assert several.sites["c"].book.given(NAME).ttl == 10  # type: ignore[union-attr]
    several.round(a="fo")
    assert several.sites["c"].book.given(NAME).ttl == 10  # type: ignore[union-attr]
    several.round(a="fo", b="fo")
    assert several.sites["c"].book.given(NAME).ttl == 1  # type: ignore[union-attr]
    assert several.given() == [ONE] * 3
