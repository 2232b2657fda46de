"""The web host of the cluster: nginx there follows the holder of a lock, under systemd.

An application runs on the two Icinga hosts, installed by the lines of vagrant/README.md, with the
times of docs/case-primary-backup.md. What belongs here is what systemd and the units do; who is
killed or cut off, and how long that takes, is tests/integration/test_primary_backup.py's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.machines import PROJECT, Machine
from tests.e2e.site import ADDRESSES, ICINGA, Site, wait
from tests.meta.test_docs import blocks

PAGE = PROJECT / "vagrant" / "README.md"
LOCK, UNIT, PORT = "service/app/leader", "app-campaign", 8080
UPSTREAM = "/etc/nginx/conf.d/app-upstream.conf"
# Long enough for slow hosts, and less than a session's TTL: nobody waited for that.
SOON_S = 40.0


class Reply(NamedTuple):
    """The status, 0 without any; when to try again as told; the text."""

    status: int
    retry_after: str
    text: str


def get(cluster: Site, address: str, port: int) -> Reply:
    """What a client outside gets, which knows the site by that address."""
    said = cluster.machines["outside"].run(
        *("curl", "--silent", "--max-time", "5"),
        *("--resolve", f"app.example.com:{port}:{address}"),
        *("--write-out", "\n%{http_code} %header{retry-after}"),
        f"http://app.example.com:{port}/",
        check=False,
    )
    text, _, last = said.rpartition("\n")
    status, _, retry_after = last.partition(" ")
    return Reply(int(status), retry_after, text.strip())


def site(cluster: Site) -> Reply:
    """What nginx on the web host answers."""
    return get(cluster, ADDRESSES["web"], 80)


def away(cluster: Site) -> None:
    """It is nginx's page for when nobody is active."""
    reply = site(cluster)
    assert (reply.status, reply.retry_after) == (503, "20")
    assert "<title>Back soon</title>" in reply.text


def active(cluster: Site) -> list[str]:
    """On which hosts the application answers."""
    return [name for name in ICINGA if get(cluster, ADDRESSES[name], PORT).status]


def holder(cluster: Site) -> str:
    """Who holds the lock, by its key; "" for nobody. A key keeps the name of its last holder."""
    said = cluster.machines["web"].run("consul", "kv", "get", "-detailed", LOCK, check=False)
    fields = dict(line.split(maxsplit=1) for line in said.splitlines() if len(line.split()) == 2)
    return fields["Value"] if fields.get("Session", "-") != "-" else ""


def said(machine: Machine) -> str:
    """What the campaign said since it was started last."""
    show = machine.run("systemctl", "show", "--property=InvocationID", "--value", UNIT)
    # What was written before is in the journal, or on its way there.
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={show.strip()}")


def is_active(machine: Machine, unit: str = UNIT) -> bool:
    return machine.run("systemctl", "is-active", unit, check=False).strip() == "active"


def state(cluster: Site) -> list[str]:
    """All that a campaign may leave behind."""
    hosts = [cluster.machines[name] for name in ICINGA]
    return [
        cluster.machines["web"].sh(
            "consul catalog services; consul kv get -recurse;"
            f" curl --silent 127.0.0.1:8500/v1/session/list; cat {UPSTREAM}"
        ),
        *(
            one.sh(
                "find /etc/consul.d /etc/systemd/system /usr/local/bin /srv | sort; id app 2>&1;"
                " ss -H --tcp --listening --numeric | awk '{ print $4 }' | sort;"
                " systemctl --failed --no-legend",
                check=False,
            )
            for one in hosts
        ),
    ]


def install(machine: Machine) -> None:
    """Run the page's lines for a host of the application."""
    (lines,) = [text for _, text in blocks(PAGE) if "campaign.py" in text]
    machine.sh(f"set -e; {lines}")


def remove(machine: Machine) -> None:
    """Undo it, as far as it was done."""
    machine.sh(
        f"systemctl start consul; systemctl --quiet disable --now {UNIT};"
        f" rm -f /etc/systemd/system/{UNIT}.service; systemctl daemon-reload;"
        f" systemctl reset-failed {UNIT}; userdel app;"
        " rm -rf /srv/app /usr/local/bin/app /usr/local/bin/campaign.py /etc/consul.d/app.json;"
        " consul reload",
        check=False,
    )


@pytest.fixture(scope="module")
def before(cluster: Site) -> list[str]:
    return state(cluster)


@pytest.fixture
def application(cluster: Site, before: list[str]) -> Iterator[Site]:
    """The application on both hosts, active on one of them; all is as it was afterwards."""
    hosts = [cluster.machines[name] for name in ICINGA]
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.machines["web"].run, "consul", "kv", "delete", LOCK)
        for one in hosts:
            stack.callback(remove, one)
            install(one)
        yield cluster
    wait(lambda: state(cluster) == before, "all as it was before", SOON_S)


def served_by(cluster: Site, name: str) -> list[Reply]:
    """Return when this host's application answers through nginx: all that nginx said till then.

    Workers with the settings of before take requests, too, for 0.1 s after new ones have begun.
    """
    replies: list[Reply] = []

    def answers() -> bool:
        replies.append(site(cluster))
        return replies[-3:] == [Reply(200, "", name)] * 3

    wait(answers, f"{name}'s application behind nginx", SOON_S)
    return replies


def stands_by(cluster: Site, name: str, behind: str) -> None:
    """Return when this host's campaign runs and knows that another one is the holder."""
    machine = cluster.machines[name]
    line = f"standing by: {behind} holds {LOCK}"
    wait(
        lambda: is_active(machine) and said(machine).splitlines()[-1:] == [line],
        f"{name} {line}",
        SOON_S,
    )


def only(cluster: Site, name: str) -> None:
    """This host's application is the one that runs, and the one behind nginx."""
    assert holder(cluster) == name
    assert active(cluster) == [name]
    assert {site(cluster) for _ in range(5)} == {Reply(200, "", name)}


def test_without_an_application_there_is_a_page(cluster: Site) -> None:
    web = cluster.machines["web"]
    assert holder(cluster) == ""
    away(cluster)
    assert f"nobody holds {LOCK}" in web.run("cat", UPSTREAM)
    assert [unit for unit in ("nginx", "app-upstream") if not is_active(web, unit)] == []
    # Old workers do not keep long requests with a former holder.
    assert "worker_shutdown_timeout 10s;" in web.run("nginx", "-T")


def test_the_application_moves_and_nginx_follows(application: Site) -> None:
    cluster = application
    wait(lambda: holder(cluster), "a holder of the lock", SOON_S)
    first = holder(cluster)
    (second,) = {*ICINGA} - {first}
    served_by(cluster, first)
    stands_by(cluster, second, behind=first)
    only(cluster, first)
    assert "active: holds" in said(cluster.machines[first])

    # In order: the next one need not wait for a TTL, nor for the lock delay.
    cluster.machines[first].sh(f"systemctl stop {UNIT}")
    assert {reply.text for reply in served_by(cluster, second)}.isdisjoint({first})
    only(cluster, second)

    cluster.machines[first].sh(f"systemctl start {UNIT}")
    stands_by(cluster, first, behind=second)
    only(cluster, second)

    # An agent that stops takes the campaign with it before it ends its session, and back again.
    cluster.machines[second].sh("systemctl stop consul")
    assert not is_active(cluster.machines[second])
    assert "the application has ended" in said(cluster.machines[second])
    assert {reply.text for reply in served_by(cluster, first)}.isdisjoint({second})
    cluster.machines[second].sh("systemctl start consul")
    stands_by(cluster, second, behind=first)
    only(cluster, first)

    # Nobody is left.
    for name in (second, first):
        cluster.machines[name].sh(f"systemctl stop {UNIT}")
    wait(lambda: site(cluster).status == 503, "the page", SOON_S)
    wait(lambda: "nobody holds" in cluster.machines["web"].run("cat", UPSTREAM), "nobody", SOON_S)
    away(cluster)
    assert active(cluster) == []
