"""Situations a check may find, by name: what each comes to stands in `cases.txt`.

Names begin with the plug-in's. Only what is found is made here; how it is found is tested with
servers that run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from consulfwd.checks import agents, audit, failover, resolve, service, zones
from consulfwd.checks.agents import Seen, Upstream
from consulfwd.checks.outcome import Outcome, Status
from consulfwd.checks.ranges import TIMES, at_least, parse
from consulfwd.checks.resolve import Answer
from consulfwd.checks.service import Told
from consulfwd.checks.thresholds import Thresholds
from consulfwd.checks.zones import Secondary
from consulfwd.consul import health
from consulfwd.dns import const
from consulfwd.zones.publish.status import OfTarget
from consulfwd.zones.publish.status import Status as Here

SITUATIONS: dict[str, Callable[[], Outcome]] = {}
NOW = 1_000_000.0


def both(warning: str = "", critical: str = "") -> Thresholds:
    """Two ranges, "" for none."""
    return Thresholds(
        *(parse(one, TIMES, percent=True) if one else None for one in (warning, critical))
    )


# -- resolve ----------------------------------------------------------------------------------


def _resolve(
    name: str,
    data: Sequence[str] = ("10.0.0.1",),
    rcode: int = const.NOERROR,
    took: float = 0.0021,
    ede: tuple[int, str] | None = None,
    over_tcp: bool = False,
    rtype: str = "A",
    **wanted: Any,
) -> None:
    def found() -> Outcome:
        answer = Answer("127.0.0.1:53", rcode, tuple(data), took, ede, over_tcp)
        asked = resolve.Wanted("web.service.consul", rtype, **wanted)
        return resolve.judge(asked, answer, 10.0)

    SITUATIONS[f"resolve: {name}"] = found


_THREE = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
_MANY = [f"10.0.{n}.1" for n in range(9)]
_resolve("one address")
_resolve("three addresses", _THREE)
_resolve("nine addresses", _MANY)
_resolve("over TCP", over_tcp=True)
_resolve("SRV", ["1 1 80 a.node.consul."], rtype="SRV")
_resolve("TXT with a pipe", ['"a|b"'], rtype="TXT")
_resolve("no records", ())
_resolve("no records, allowed", (), records=both("1:", "0:"))
_resolve("NXDOMAIN", (), const.NXDOMAIN)
_resolve("SERVFAIL", (), const.SERVFAIL)
_resolve("SERVFAIL with EDE", (), const.SERVFAIL, ede=(23, "no agent answers"))
_resolve("SERVFAIL with EDE and a pipe", (), const.SERVFAIL, ede=(22, "a|b\x1b[31m"))
_resolve("REFUSED", (), const.REFUSED, ede=(18, ""))
_resolve("a code without a name", (), 13)
_resolve("stale", ede=(3, ""))
_resolve("stale, allowed", ede=(3, "of 5 s ago"), stale=Status.OK)
_resolve("stale, critical", ede=(3, ""), stale=Status.CRITICAL)
_resolve("stale NXDOMAIN", (), const.NXDOMAIN, ede=(19, ""))
_resolve("another EDE", ede=(15, "by policy"))
_resolve("slow, warning", took=0.6, time=both("0.5", "1"))
_resolve("slow, critical", took=1.5, time=both("0.5", "1"))
_resolve("at the bound", took=0.5, time=both("0.5", "1"))
_resolve("only a critical time", took=1.5, time=both("", "1"))
_resolve("in milliseconds", took=0.6, time=both("500ms", "900ms"))
_resolve("suspiciously fast", took=0.0001, time=both("1ms:"))
_resolve("expected address", _THREE, expected=("10.0.0.2",))
_resolve("expected addresses", _THREE, expected=("10.0.0.2", "10.0.0.3"))
_resolve("expected address missing", _THREE, expected=("10.0.0.9",))
_resolve("two of three missing", _THREE, expected=("10.0.0.8", "10.0.0.1", "10.0.0.9"))
_resolve("exact", _THREE, expected=_THREE, exact=True)
_resolve("exact, one more", _THREE, expected=_THREE[:2], exact=True)
_resolve("exact, another", _THREE, expected=("10.0.0.9",), exact=True)
_resolve("IPv6 in another spelling", ["fd00::1"], rtype="AAAA", expected=("FD00:0:0::0001",))
_resolve("a name without its dot", ["a.example."], rtype="CNAME", expected=("A.EXAMPLE",))
_resolve("too few records", _THREE, records=both("4:", "2:"))
_resolve("far too few records", _THREE[:1], records=both("4:", "2:"))
_resolve("too many records", _MANY, records=both("5"))
_resolve("records as wanted", _THREE, records=both("3:3"))
_resolve("slow and too few", _THREE, took=2.0, time=both("1"), records=both("", "4:"))
_resolve("slow and stale", took=2.0, time=both("1"), ede=(3, ""))


def _rcode(name: str, rcode: int, wanted: int, data: Sequence[str] = ()) -> None:
    SITUATIONS[f"resolve: {name}"] = lambda: resolve.judge(
        resolve.Wanted("web.service.consul", "A", wanted),
        Answer("127.0.0.1:53", rcode, tuple(data), 0.001),
        10.0,
    )


_rcode("NXDOMAIN as expected", const.NXDOMAIN, const.NXDOMAIN)
_rcode("REFUSED as expected", const.REFUSED, const.REFUSED)
_rcode("there, but not expected", const.NOERROR, const.NXDOMAIN, ["10.0.0.1"])
_rcode("NODATA, but not expected", const.NOERROR, const.NXDOMAIN)
_rcode("another failure than expected", const.SERVFAIL, const.NXDOMAIN)
for _name, _state in (("silent", Status.CRITICAL), ("silent, unknown", Status.UNKNOWN)):
    SITUATIONS[f"resolve: {_name}"] = lambda state=_state: resolve.silent(  # type: ignore[misc]
        resolve.Wanted("web.service.consul", "A", time=both("1", "2")),
        "no answer from 127.0.0.1:53 within 10 s", 10.0, state,
    )  # fmt: skip


# -- service ----------------------------------------------------------------------------------


def instance(number: int, *statuses: str, output: str = "", **service: Any) -> dict[str, Any]:
    """An entry of /v1/health/service."""
    checks = [
        {"CheckID": f"c{at}", "Name": f"check {at}", "Status": one, "Output": output}
        for at, one in enumerate(statuses)
    ]
    return {
        "Node": {"Node": f"node{number}", "Address": f"10.0.0.{number}"},
        "Service": {"ID": f"web-{number}", "Service": "web", "Tags": [], "Address": "", "Port": 80}
        | service,
        "Checks": checks,
    }


def _service(
    name: str, those: Sequence[dict[str, Any]], told: dict[str, Any] | None = None, **wanted: Any
) -> None:
    def found() -> Outcome:
        said = Told(health.entries(list(those)), "10.1.0.1:8600", took=0.004, **(told or {}))
        return service.judge(service.Wanted("web", **wanted), said)

    SITUATIONS[f"service: {name}"] = found


OK, WARN, CRIT = "passing", "warning", "critical"
_good = [instance(n, OK) for n in (1, 2, 3)]
_mixed = [instance(1, OK), instance(2, OK, CRIT, output="refused"), instance(3, OK, WARN)]
_bad = [instance(n, CRIT, output="timeout") for n in (1, 2)]
_service("all healthy", _good)
_service("one critical", _mixed)
_service("one critical, only passing", _mixed, only_passing=True)
_service("none healthy", _bad)
_service("not there", [])
_service("hidden altogether", [], {"forbidden": True})
_service("all filtered", [], {"hidden": True})
_service("some hidden, well", _good, {"hidden": True})
_service("some hidden, too few", _good, {"hidden": True}, minimum=at_least(4))
_service("without checks", [instance(1)])
_service("an unknown status", [instance(1, "odd")])
_service("warning counts as healthy", [instance(1, WARN)])
_service("warning does not", [instance(1, WARN, output="slow")], only_passing=True)
_service("minimum reached", _good, minimum=at_least(3))
_service("below the minimum", _mixed, minimum=at_least(3))
_service("below the warning minimum", _mixed, minimum_warning=at_least(3))
_service("between both minimums", _mixed, minimum=at_least(2), minimum_warning=at_least(3))
_service("below both minimums", _bad, minimum=at_least(2), minimum_warning=at_least(3))
_service("minimum of 0", _bad, minimum=at_least(0))
_service("minimum of 0, not there", [], minimum=at_least(0))
_service("half is enough", _mixed, minimum=at_least(50, percent=True))
_service("two thirds are not", _mixed, minimum=at_least(67, percent=True))
_service("all have to", _mixed, minimum=at_least(100, percent=True))
_service("a range, warning", _mixed, count=both("3:", "1:"))
_service("a range, critical", _bad, count=both("3:", "1:"))
_service("a range without critical", _bad, count=both("3:"))
_service("a range of parts", _mixed, count=both("90%:", "50%:"))
_service("too many", _good, count=both("2"))
_service("within", _good, count=both("@3:5"))
_service("range and minimum", _mixed, count=both("3:"), minimum=at_least(3))
_tagged = [instance(1, OK, Tags=["a", "b"]), instance(2, OK, Tags=["a"]), instance(3, CRIT)]
_service("a tag", _tagged, tags=("a",))
_service("two tags", _tagged, tags=("a", "b"))
_service("no such tag", _tagged, tags=("c",))
_service("tags that are no list", [instance(1, OK, Tags=None)], tags=("c",))
_service("a datacenter", _good, datacenter="dc2")
_service("another datacenter, not there", [], datacenter="dc2")
_service("own address", [instance(1, CRIT, Address="192.0.2.7", Port=8080)])
_service("IPv6", [instance(1, CRIT, Address="fd00::7")])
_service("without a port", [instance(1, CRIT, Port=0)])
_service("output with a pipe", [instance(1, CRIT, output="a | b\nc\x1b[31m\u202e")])
_service("endless output", [instance(1, CRIT, output="x" * 10_000)])
_service("forty of them bad", [instance(n, CRIT, output="down") for n in range(40)])
_service("a thousand of them", [instance(n, CRIT, output="x" * 500) for n in range(1000)])
_service("odd names", [instance(1, CRIT, ID="a|b='c'")])
SITUATIONS["service: nobody to ask"] = lambda: service.unasked(
    service.Wanted("web"), "no agent could be asked: 10.1.0.1:8600: connection refused"
)


# -- agents -----------------------------------------------------------------------------------


def up(number: int, state: str = "up", kind: str = "agent", **more: Any) -> Upstream:
    """A server as the resolver sees it."""
    return Upstream(f"10.0.0.{number}:8600", kind, state, **{"rtt": 0.0012, **more})


def _agents(
    name: str, those: Sequence[Upstream], seen: dict[str, Any] | None = None, **wanted: Any
) -> None:
    SITUATIONS[f"agents: {name}"] = lambda: agents.judge(
        agents.Wanted(**wanted), Seen(those, **(seen or {}))
    )


_three = [up(1), up(2), up(3)]
_one_down = [up(1), up(2, "down", rtt=None), up(3)]
_recursors = [up(8, kind="recursor"), up(9, kind="recursor")]
_agents("all up", _three)
_agents("one down", _one_down)
_agents("two down", [up(1), up(2, "down"), up(3, "down")])
_agents("all down", [up(1, "down"), up(2, "down")])
_agents("suspect", [up(1), up(2, "suspect")])
_agents("probing", [up(1), up(2, "probing")])
_agents("only one", [up(1)])
_agents("none at all", [])
_agents("behind", [up(1), up(2, behind="its data is stale")])
_agents("behind, allowed", [up(1), up(2, behind="stale")], behind=Status.OK)
_agents("all behind", [up(1, behind="no leader"), up(2, behind="no leader")])
_agents("behind, critical", [up(1, behind="no leader")], behind=Status.CRITICAL)
_agents("drained", [up(1), up(2, drained=True), up(3)])
_agents("drained, a warning", [up(1), up(2, drained=True)], drained=Status.WARNING)
_agents("one drained, one down", [up(1), up(2, drained=True), up(3, "down")])
_agents("drained and down", [up(1), up(2, "down", drained=True)])
_agents("all drained", [up(1, drained=True), up(2, drained=True)])
_agents("enough are up", _one_down, agents=both("2:", "1:"))
_agents("too few are up", _one_down, agents=both("3:", "2:"))
_agents("far too few are up", [up(1), up(2, "down"), up(3, "down")], agents=both("3:", "2:"))
_agents("too many are up", _three, agents=both("2"))
_agents("recursors too", _three + _recursors)
_agents("a recursor down", [*_three, up(8, "down", "recursor"), up(9, kind="recursor")])
_agents("all recursors down", [*_three, up(8, "down", "recursor"), up(9, "down", "recursor")])
_agents("enough recursors", [*_three, up(8, "down", "recursor"), _recursors[1]],
        recursors=both("1:", "1:"))  # fmt: skip
_agents("recursors wanted, none there", _three, recursors=both("1:", "1:"))
_agents("agents and recursors down", [up(1, "down"), up(8, "down", "recursor")])
_agents("not ready", _three, {"ready": False, "faults": ["[::1]:53: address in use"]})
_agents("ready with a fault", _three, {"faults": ["[::1]:53 is not there | yet"]})
_agents("a name with a quote", [Upstream("tls://10.0.0.1#a'b=c", "agent", "up")])
_agents("sixty servers", [up(n, "down") for n in range(60)])


# -- zone -------------------------------------------------------------------------------------


def of_target(where: str = "/etc/svc.zone", **more: Any) -> OfTarget:
    """A target of a zone."""
    usual = {"serial": 7, "mark": "x", "pushed": NOW - 90, "what": "1 name", "names": 5}
    return OfTarget(where, **{**usual, **more})


def here(state: str = "active", *targets: OfTarget, **more: Any) -> Here:
    """What the publisher on this host wrote down."""
    return Here("svc.test", "", state, "host1", targets=targets or (of_target(),), **more)


def _zone(
    name: str, *, now: float = NOW, wanted: dict[str, Any] | None = None, **told: Any
) -> None:
    usual = {"zone": "svc.test", "locked": True, "holder": "host1", "serial": 7, "here": here()}
    SITUATIONS[f"zone: {name}"] = lambda: zones.judge(
        zones.Wanted(**(wanted or {})), [zones.Told(**{**usual, **told})], now
    )


_failing = of_target(fault="/etc/svc.zone: permission denied", failing_since=NOW - 300)
_long_failing = of_target(fault="/etc/svc.zone: permission denied", failing_since=NOW - 7200)
_withheld = of_target(withheld=("a.svc.test A: over the budget",), withheld_in_all=3,
                      command="consulfwd zone apply svc.test --allow 3")  # fmt: skip
_zone("published")
_zone("nobody publishes", holder="")
_zone("nobody, and nothing here", holder="", here=None)
_zone("published elsewhere", here=None, holder="host2")
_zone("backup here", here=here("backup"), holder="host2")
_zone("publisher gone", here=here("gone"), holder="host2")
_zone("publisher stopped", here=here("stopped"), holder="host2")
_zone("Consul away", away="10.1.0.1:8600: connection refused")
_zone("Consul away, target fails", away="silent", here=here("active", _failing))
_zone("Consul away, gone here", away="silent", here=here("gone"))
_zone("paused", paused="paused by ops@host1: moving")
_zone("paused, allowed", paused="paused by ops@host1", wanted={"paused": Status.OK})
_zone("paused here", here=here("active", paused="paused by ops@host1"))
_zone("target fails", here=here("active", _failing))
_zone("target fails for long", here=here("active", _long_failing))
_fails = here("active", _failing)
_zone("fails, by ranges", here=_fails, wanted={"failing": both("10m", "1h")})
_zone("fails, warning by ranges", here=_fails, wanted={"failing": both("1m", "1h")})
_zone("fails, critical by ranges", here=_fails, wanted={"failing": both("1s", "1m")})
_zone("one of two targets fails", here=here("active", _failing, of_target("10.0.0.5")))
_zone("clock set back", now=NOW - 1000, here=here("active", _failing))
_zone("withheld", here=here("active", _withheld))
_zone("withheld, allowed", here=here("active", _withheld), wanted={"withheld": both("5")})
_zone("withheld, critical", here=here("active", _withheld), wanted={"withheld": both("0", "2")})
_zone("in doubt", here=here("active", doubt="no agent has answered"))
_zone("a fault of all", here=here("active", faults=("what must survive is not written",)))
_twice = ("/etc/svc.zone: permission denied",)
_zone("a fault told twice", here=here("active", _failing, faults=_twice))
_zone("status unreadable", here=None, faults=("status.json: line 1: not JSON",))
_zone("pushed long ago", wanted={"pushed": both("60", "1h")})
_zone("pushed too long ago", wanted={"pushed": both("30", "60")})
_zone("never pushed", here=here("active", of_target(pushed=0.0)), wanted={"pushed": both("60")})
_zone("without a lock", locked=False, holder="")
_zone("without a lock, never run", locked=False, holder="", here=None)
_zone("without a lock, stopped", locked=False, holder="", here=here("stopped"))
_zone("without a lock, gone", locked=False, holder="", here=here("gone"))
_zone("secondaries in step", secondaries=(Secondary("ns1:53", 7), Secondary("ns2:53", 7)))
_zone("a secondary behind", secondaries=(Secondary("ns1:53", 7), Secondary("ns2:53", 5)))
_zone("behind, allowed", secondaries=(Secondary("ns2:53", 5),), wanted={"lag": both("10")})
_zone("behind, critical", secondaries=(Secondary("ns2:53", 5),), wanted={"lag": both("0", "1")})
_zone("a secondary ahead", secondaries=(Secondary("ns1:53", 9), Secondary("ns2:53", 7)))
_zone("serials around zero", serial=2, secondaries=(Secondary("ns1:53", 2**32 - 1),))
_silent = Secondary("ns2:53", None, "silent")
_zone("a secondary silent", secondaries=(Secondary("ns1:53", 7), _silent))
_zone("all secondaries silent", secondaries=(Secondary("ns1:53", None, "refused"),))
_zone("serial known of nobody", serial=None, here=None, secondaries=(Secondary("ns1:53", 4),))
_zone("objections", here=here(objections=("a_b: no host name",), objections_in_all=1))


def _several() -> Outcome:
    well = zones.Told("a.test", True, "host1", here=here())
    return zones.judge(zones.Wanted(), [well, zones.Told("b.test", True), well], NOW)


SITUATIONS["zone: one of three"] = _several
SITUATIONS["zone: two that are well"] = lambda: zones.judge(
    zones.Wanted(), [zones.Told(one, True, "host1", here=here()) for one in ("a", "b")], NOW
)


# -- failover ---------------------------------------------------------------------------------


def moving(name: str = "www.example.com", **values: Any) -> dict[str, Any]:
    """A name that moves, as the picture has it."""
    up = {"address": "192.0.2.1", "pool": "primary", "up": True, "reason": "200 OK", "forced": ""}
    known = {"known": True, "pool": "primary", "place": 0, "answer": ["192.0.2.1"], "why": "",
             "held": "", "forces": [], "addresses": [up]}  # fmt: skip
    return {"name": name, **known, **values}


_DOWN = {"address": "192.0.2.1", "pool": "primary", "up": False, "reason": "a | b\nc", "forced": ""}
_MOVED = moving(pool="secondary", place=1, why="primary is down", addresses=[_DOWN])
_FORCED = moving(
    pool="secondary", place=1, addresses=[{**_DOWN, "forced": "down"}],
    forces=["www.* is down by order of anna"],
)  # fmt: skip


def _failover(name: str, those: Sequence[dict[str, Any]], **wanted: Any) -> None:
    SITUATIONS[f"failover: {name}"] = lambda: failover.judge(
        failover.Wanted(**wanted), those, "/run/consulfwd/serve.sock"
    )


_failover("all well", [moving(), moving("b.example.com")])
_failover("moved", [moving("b.example.com"), _MOVED])
_failover("moved, which is critical", [_MOVED], moved=Status.CRITICAL)
_failover("moved, which is well", [_MOVED], moved=Status.OK, down=Status.OK)
_failover("no pool is well", [moving(pool="", place=-1, answer=[])])
_failover("not answered yet", [moving(known=False, why="the first round is not over")])
_failover("held", [moving(held="this host's own line is cut")])
_failover("forced", [_FORCED])
_failover("forced, which is a warning", [_FORCED], forced=Status.WARNING)
_failover("of many one is bad", [*(moving(f"{n}.example.com") for n in range(40)), _MOVED])
_failover("forty are bad", [{**_MOVED, "name": f"{n}.example.com"} for n in range(40)])
_failover("one that is named", [moving(), {**_MOVED, "name": "b.example.com"}],
          names=("WWW.example.com.",))  # fmt: skip
_failover("a pattern", [moving(), {**_MOVED, "name": "b.example.com"}], names=("b.*",))
_failover("no such name", [moving()], names=("c.example.com", "www*"))
_failover("there are none", [])
_failover("of another version", [{"name": "www.example.com", "known": True, "pool": "x"}])


# -- audit ------------------------------------------------------------------------------------


class Weak(NamedTuple):
    """A weak spot."""

    severity: str
    key: str
    what: str = "web falls with node1"
    mend: str = "register one more"


def _audit(
    name: str, *new: Weak, known: int = 0, unseen: Sequence[str] = (), **wanted: Any
) -> None:
    SITUATIONS[f"audit: {name}"] = lambda: audit.judge(
        audit.Wanted(**wanted), audit.Found(new, known, unseen)
    )


_grave, _weak, _note = Weak("critical", "one-instance:web"), Weak("warning", "even:site"), Weak(
    "note", "ttl:zone", "answers outlive a failover"
)  # fmt: skip
_audit("nothing")
_audit("one critical", _grave)
_audit("one warning", _weak)
_audit("a note", _note)
_audit("all kinds", _grave, _grave, _weak, _note)
_audit("all known", known=5)
_audit("new beside known", _weak, known=5)
_audit("not all seen", unseen=("ACL: permission denied",))
SITUATIONS["audit: not all seen, allowed"] = lambda: audit.judge(
    audit.Wanted(unseen=Status.OK), audit.Found((), unseen=("ACL: permission denied",))
)
_audit("not all seen, and a critical one", _grave, unseen=("ACL: permission denied",))
_audit("criticals allowed", _grave, criticals=parse("2"))
_audit("warnings allowed", _weak, warnings=parse("2"))
_audit("fifty", *[Weak("warning", f"rule:{n}", "x|y " * 30) for n in range(50)])
