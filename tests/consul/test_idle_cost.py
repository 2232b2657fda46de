"""What an idle host asks of Consul, reckoned by the rules that say when to ask.

`python -m benchmarks.fleet` counts the same on real Consul.
"""

from __future__ import annotations

import random

from consulfwd.config.sections import QualitySettings
from consulfwd.consul import belief, content, watch
from consulfwd.consul.belief import Belief
from consulfwd.consul.blocking import BlockingQuery, BlockingRules
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.post import PROVE_EVERY
from consulfwd.consul.quality import Sight
from consulfwd.consul.question import Rules
from consulfwd.core.health import jitter
from tests.consul.replies import reply

# What a fleet of so many hosts may cost a cluster in a second, all together.
HOSTS, MOST = 200, 50
NAMES, AGENTS, FACTS = 10, 3, 5
# One host of so many renders, and one generates.
ONE_OF = 10
HOUR_S = 3600.0


def asked(rules: Rules) -> int:
    """How many questions it takes in an hour to follow what does not change."""
    now, count = 0.0, 0
    while now < HOUR_S:
        ask: BlockingQuery = rules.next(now)
        # Consul adds up to a sixteenth.
        now = max(now, ask.at) + ask.wait
        rules.reply(reply([], index=7), now)
        count += 1
    return count


def looked(rng: random.Random) -> int:
    """How often an agent is looked at in an hour that nobody asks anything."""
    quality = QualitySettings()
    sight, now, count = Sight(quality.every, quality.max_last_contact), 0.0, 0
    while now < HOUR_S:
        if not sight.idle(used=False):
            sight.heard(reply([]), now)
            count += 1
        now += jitter(sight.every, rng)
    return count


def test_a_fleet_of_idle_hosts_costs_little() -> None:
    rng = random.Random(1)
    watches = [
        asked(BlockingRules(content.service, rng, spread=watch.SPREAD)) for _ in range(NAMES)
    ]
    agents = [looked(rng) for _ in range(AGENTS)]
    facts = [asked(Belief(Fact(FactKind.SERVICE, f"s{n}"), rng)) for n in range(FACTS)]
    proofs = HOUR_S / PROVE_EVERY
    serving = sum(watches) + sum(agents)
    rendering, generating = sum(facts) + proofs, facts[0] + proofs
    host = serving + (rendering + generating) / ONE_OF
    assert HOSTS * host / HOUR_S < MOST


def test_hosts_that_began_together_do_not_ask_together() -> None:
    rng = random.Random(1)
    for least, rules in (
        (watch.WAIT, BlockingRules(content.service, rng, spread=watch.SPREAD)),
        (
            watch.WAIT_HERE,
            BlockingRules(content.service, rng, wait=watch.WAIT_HERE, spread=watch.SPREAD),
        ),
        (belief.WAIT, Belief(Fact(FactKind.SERVICE, "s"), rng)),
    ):
        waits = []
        for _ in range(100):
            ask = rules.next(0.0)
            waits.append(ask.wait)
            rules.reply(reply([], index=7), ask.at)
        waits = [wait for wait in waits if wait]
        assert least <= min(waits) < least * 1.1
        assert least * 1.9 < max(waits) <= least * 2
