"""`render --watch` and `generate --watch` at a client agent with ACLs on, as tokens lose rights.

All processes of one version of Consul run beside each other from the first test on, and what
happens to their tokens happens at once: some of it shows after a while only, and the tests wait for
it together.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dev.real import RealCluster, Registration, binary_version
from tests.integration.asking import ask, rcode
from tests.integration.conftest import generation
from tests.integration.places import addresses
from tests.integration.served import consul, serve
from tests.integration.watched import (
    AS_EVER,
    BRISK,
    HURRIED,
    TEMPLATE,
    WEARY,
    Front,
    Token,
    Watch,
    at,
    backend,
    generate,
    render,
    wait,
)
from tests.stalled import Stalls

NETWORK = 50
SERVICES = ("changed", "whole", "part", "revoked", "rotated", "beside")
ALL = 'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'
# A service the token may not see any more, and one that it sees a part of.
NARROW = ALL + 'service "whole" { policy = "deny" }\nnode "part-2" { policy = "deny" }\n'
# Seconds: until a change is written; until a loss of rights shows that no change wakes the question
# for; until a new token is used (15), less what a slow machine takes.
FRESH_S, SHOWN_S, IN_USE_S = 2.0, 14.0, 12.0
# So many seconds an agent that refuses all is counted at; so often it may be asked in them.
COUNTED_S, MOST = 6.0, 5
STATUSES = (403, 500)


def address(service: str, n: int) -> str:
    return f"10.9.{SERVICES.index(service)}.{n}"


def who(service: str, *numbers: int) -> set[str]:
    return {address(service, n) for n in numbers}


def instance(service: str, n: int, *tags: str) -> Registration:
    node, where = f"{service}-{n}", address(service, n)
    return Registration(node, service, address=where, port=80, service_id=node, tags=tags)


class Refused(NamedTuple):
    """A process whose first agent refuses everything, while the next one is well."""

    watch: Watch
    refusing: Front
    well: Front


class Scene(NamedTuple):
    """All that runs. At `begun` tokens were narrowed, revoked and rotated (`time.monotonic`).

    `stalls` are those of the disk since then.
    """

    cluster: RealCluster
    followed: tuple[Watch, Watch]
    narrowed: tuple[Watch, Watch]
    revoked: tuple[Watch, Watch]
    hurried: Watch
    weary: Watch
    rotated: tuple[Watch, Watch]
    refused: dict[int, Refused]
    revoked_token: Token
    begun: float
    stalls: Stalls


@pytest.fixture(scope="module")
def acl_client_cluster(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """A server, and a client agent that streams where Consul can, and remembers rights for 1 s."""
    extra: dict[str, object] = {"acl": {"token_ttl": "1s", "policy_ttl": "1s", "role_ttl": "1s"}}
    streams = generation(binary_version(consul_binary)) == "modern"
    if streams:
        extra |= {"rpc": {"enable_streaming": True}, "use_streaming_backend": True}
    server, client = addresses(NETWORK, 11, 12)
    workdir = tmp_path_factory.mktemp("watched")
    with RealCluster(
        consul_binary, [server], client_address=client, acl=True, workdir=workdir, extra=extra
    ) as cluster:
        cluster.register_all([instance(service, n) for service in SERVICES for n in (1, 2)])
        assert cluster.client is not None
        assert backend(at(cluster.client), cluster.token) == ("streaming" if streams else None)
        yield cluster


@pytest.fixture(scope="module")
def scene(
    acl_client_cluster: RealCluster, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    cluster = acl_client_cluster
    assert cluster.client is not None
    client, folder = at(cluster.client), tmp_path_factory.mktemp("scene")

    def token(name: str) -> Token:
        return Token(cluster, ALL, folder / f"{name}.token")

    def both(
        name: str, allowed: Token, *services: str, python: Sequence[str] = AS_EVER
    ) -> tuple[Watch, Watch]:
        """A `render`, and a `generate` for the last of the services."""
        ways = folder / f"{name}-render", folder / f"{name}-generate"
        return (
            render(ways[0], guard, [client], allowed, *services, python=python),
            generate(ways[1], guard, [client], allowed, services[-1], python),
        )

    tokens = {name: token(name) for name in ("followed", "narrowed", "revoked", "rotated")}
    fronts: list[Front] = []
    refused: dict[int, Refused] = {}
    for status in STATUSES:
        refusing, well = Front(8601, status), Front(8602, target=client)
        fronts += refusing, well
        agents = [refusing.at, well.at]
        watch = render(folder / f"{status}", guard, agents, tokens["followed"], "beside")
        refused[status] = Refused(watch, refusing, well)
    made = Scene(
        cluster,
        both("followed", tokens["followed"], "changed"),
        both("narrowed", tokens["narrowed"], "whole", "part", python=BRISK),
        both("revoked", tokens["revoked"], "revoked"),
        render(folder / "hurried", guard, [client], tokens["revoked"], "revoked", python=HURRIED),
        render(
            folder / "weary",
            guard,
            [client, at(cluster.servers[0])],
            tokens["revoked"],
            "revoked",
            python=WEARY,
        ),
        both("rotated", tokens["rotated"], "rotated"),
        refused,
        tokens["revoked"],
        0.0,
        Stalls(),
    )
    watches = [*made.followed, *made.narrowed, *made.revoked, made.hurried, made.weary]
    watches += made.rotated
    watches += [one.watch for one in refused.values()]
    try:
        for watch in watches:
            watch.start()
        for watch in watches:
            for service in watch.files:
                known = functools.partial(watch.names, service, who(service, 1, 2))
                watch.wait_until(known, "in step with Consul")
        tokens["narrowed"].may(NARROW)
        tokens["revoked"].revoke()
        tokens["rotated"].rotate()
        cluster.register_all([instance("revoked", 3), instance("rotated", 3)])
        if generation(cluster.version) == "debian":
            # Unless something changes, it goes by the old rights for 20 s.
            cluster.register_all([instance(name, 1, "more") for name in ("whole", "part")])
        yield made._replace(begun=time.monotonic(), stalls=Stalls())
        for watch in watches:
            watch.end()
    finally:
        for watch in watches:
            watch.kill()
        for front in fronts:
            front.stop()


Change = Callable[[RealCluster, bool], object]
# Each is done (True), after which these are named, and undone.
CHANGES: dict[str, tuple[Change, set[str]]] = {
    "register": (
        lambda c, do: c.register_all([instance("changed", 3)]) if do else c.deregister("changed-3"),
        who("changed", 1, 2, 3),
    ),
    "deregister": (
        lambda c, do: c.deregister("changed-2") if do else c.register_all([instance("changed", 2)]),
        who("changed", 1),
    ),
    "maintenance": (
        lambda c, do: c.maintenance("changed-1", "changed-1", "cleaning" if do else None),
        who("changed", 2),
    ),
    "critical": (
        lambda c, do: c.set_health("changed-1", "changed-1", "critical" if do else "passing"),
        who("changed", 2),
    ),
}


def test_a_revoked_token_is_told_at_once_and_empties_nothing(scene: Scene) -> None:
    for watch in scene.revoked:
        # The third instance, which it does not see any more, woke the question.
        told = functools.partial(watch.lines, " HTTP 403: ")
        assert wait(told, FRESH_S, watch), watch.tail()
        assert watch.ever("revoked") == [who("revoked", 1, 2)]
    # What is known is still of use.
    watch, _ = scene.revoked
    file = watch.files["revoked"]
    file.with_suffix(".tpl").write_text("# goes on\n" + TEMPLATE.format(service="revoked"))
    assert wait(lambda: file.read_text().startswith("# goes on\n"), SHOWN_S), watch.tail()
    assert watch.names("revoked", who("revoked", 1, 2))


@pytest.mark.parametrize("kind", CHANGES)
def test_files_follow_each_change_through_a_client_agent(scene: Scene, kind: str) -> None:
    change, then = CHANGES[kind]

    def written(expected: set[str]) -> bool:
        return wait(
            lambda: all(one.names("changed", expected) for one in scene.followed),
            FRESH_S,
            *scene.followed,
        )

    try:
        change(scene.cluster, True)
        assert written(then)
    finally:
        change(scene.cluster, False)
    assert written(who("changed", 1, 2))


@pytest.mark.parametrize("status", STATUSES)
def test_files_follow_the_next_agent_when_the_first_refuses_all(scene: Scene, status: int) -> None:
    watch, others = scene.refused[status].watch, who("beside", 1, 2)
    scene.cluster.register_all([instance("beside", status % 100)])
    try:
        more = others | who("beside", status % 100)
        assert wait(lambda: watch.names("beside", more), FRESH_S, watch)
    finally:
        scene.cluster.deregister(f"beside-{status % 100}")
    assert wait(lambda: watch.names("beside", others), FRESH_S, watch)
    assert set() not in watch.ever("beside")


@pytest.mark.parametrize("status", STATUSES)
def test_an_agent_that_refuses_all_is_asked_rarely(scene: Scene, status: int) -> None:
    assert len(scene.refused[status].refusing.within(scene.begun, COUNTED_S)) <= MOST


@pytest.mark.parametrize("status", STATUSES)
def test_the_next_agent_is_asked_by_blocking_queries(scene: Scene, status: int) -> None:
    well = scene.refused[status].well
    # What does not wait is asked where it is turned to anew only, after the first was tried again.
    assert sum(not one.blocking for one in well.within(scene.begun, COUNTED_S)) <= MOST
    assert any(one.blocking for one in well.asked)


@pytest.mark.parametrize("status", STATUSES)
def test_an_agent_that_refuses_all_is_told_once(scene: Scene, status: int) -> None:
    watch, refusing, _ = scene.refused[status]
    refusing.within(scene.begun, COUNTED_S)
    assert len(watch.lines(refusing.at.name)) == 1


def test_a_revoked_token_is_told_again_and_again(scene: Scene) -> None:
    # In twelve minutes, by its clock.
    again = functools.partial(scene.hurried.lines, " HTTP 403: ")
    hurried = scene.hurried
    assert wait(lambda: len(again()) >= 3, left(scene, IN_USE_S), hurried), hurried.tail()


def test_a_rotated_token_is_used_within_15_s_without_a_signal(scene: Scene) -> None:
    three = who("rotated", 1, 2, 3)
    used = wait(
        lambda: all(one.names("rotated", three) for one in scene.rotated),
        left(scene, IN_USE_S),
        *scene.rotated,
    )
    assert used, scene.rotated[0].tail()


def test_a_token_that_comes_after_an_hour_of_refusals_is_used_within_15_s(scene: Scene) -> None:
    """The last of the tests with a revoked token."""
    watch = scene.weary
    told = functools.partial(watch.lines, " refuses the token of ", "ACL not found")
    assert wait(told, FRESH_S, watch), watch.tail()
    assert watch.names("revoked", who("revoked", 1, 2))
    scene.revoked_token.renew()
    three = who("revoked", 1, 2, 3)
    all_of_them = (watch, scene.hurried, *scene.revoked)
    assert wait(
        lambda: all(one.names("revoked", three) for one in all_of_them), IN_USE_S, *all_of_them
    ), watch.tail()
    accepted = functools.partial(watch.lines, "is accepted again")
    assert wait(accepted, SHOWN_S, watch), watch.tail()


@pytest.mark.parametrize(
    ("program", "service"), [("render", "whole"), ("render", "part"), ("generate", "part")]
)
def test_what_a_narrowed_token_hides_stays_and_is_told(
    scene: Scene, program: str, service: str
) -> None:
    watch = scene.narrowed[program == "generate"]
    told = functools.partial(watch.lines, f"service {service}", "may not read")
    wait(lambda: told() or len(watch.ever(service)) > 1, left(scene, SHOWN_S))
    assert watch.ever(service) == [who(service, 1, 2)]
    assert told(), watch.tail()


def left(scene: Scene, seconds: float) -> float:
    """What is left of so many seconds since the tokens changed, and what the disk took of them."""
    return scene.begun + scene.stalls.seconds() + seconds - time.monotonic()


def test_a_server_uses_a_rotated_token_within_15_s_without_a_signal(
    acl_client_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    """Watches and the looks at agents: told while it lasts, and over by itself."""
    cluster, agent = acl_client_cluster, acl_client_cluster.client
    assert agent is not None
    token = Token(cluster, ALL, tmp_path / "served.token")
    section = consul(agent, quality={"every": 0.5}, watch={"enabled": True})
    section["agents"][0]["token_file"] = str(token.file)
    refused = f"agent {agent.address}:{agent.dns_port} refuses the token of {token.file}"
    with serve({"consul": section}, tmp_path / "served", guard) as served:

        def watches() -> bool:
            before = len(served.said())
            assert rcode(ask(served.at, "changed.service.consul")) == "NOERROR"
            os.kill(served.pid, signal.SIGUSR1)
            last = f" agent {agent.address}:{agent.dns_port}: "
            wait(lambda: last in served.said()[before:], PATIENCE_S, served)
            return bool(re.search(r"watch of .*changed at .*: armed", served.said()[before:]))

        served.wait_until(watches, "watching")
        assert refused not in served.said()
        token.revoke()
        served.wait_until(lambda: refused in served.said(), "told of the refusal")
        served.wait_until(lambda: not watches(), "without watches")
        assert "was it revoked? A new one in the file is used within 10 s" in served.said()
        token.renew()
        again = f"the token of {token.file} is accepted again"
        assert wait(lambda: again in served.said(), IN_USE_S, served), served.tail()
        assert wait(watches, IN_USE_S, served), served.tail()
        assert "cannot be asked over HTTP" not in served.said()
