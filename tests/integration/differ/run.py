"""One run: everybody is asked the same, and what differs is counted and judged by `reasons`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice

from tests.integration.differ.asking import ask_all
from tests.integration.differ.facts import NO_REPLY, Facts, read
from tests.integration.differ.kinds import Difference, differences
from tests.integration.differ.peculiar import OF_PEERS
from tests.integration.differ.questions import Query
from tests.integration.differ.reasons import ACCEPTED, Reason
from tests.integration.differ.servers import OURS, Stage
from tests.integration.differ.telling import EXAMPLES, examples

# Ours has one try, and longer than its deadlines.
OURS_WAITS_S, PEERS_WAIT_S = 15.0, 3.0
# Replies are let go of when so many queries are judged.
AT_ONCE = 5000
# What differs without a reason is asked so often again, if it does at no more queries than that.
AGAIN, FEW = 3, 3


@dataclass
class Found:
    """What a run has shown: the differences that have a reason by it, and those that have none.

    `replies` are kept of the first queries at which something is unexplained. `passing` are the
    differences that nobody could see again: servers are not asked at the same moment, and what one
    had in its cache, or an agent knew, may have changed between them.
    """

    queries: int = 0
    explained: Counter[tuple[str, Reason]] = field(default_factory=Counter)
    unexplained: dict[tuple[str, str], list[Difference]] = field(default_factory=dict)
    replies: dict[Query, dict[str, Facts]] = field(default_factory=dict)
    passing: list[Difference] = field(default_factory=list)

    def add(self, query: Query, replies: dict[str, Facts]) -> None:
        """Compare each server's reply to a query with the others'."""
        self.queries += 1
        for one, reason in _judged(query, replies):
            if reason is not None:
                self.explained[one.kind, reason] += 1
                continue
            found = self.unexplained.setdefault((one.server, one.kind), [])
            found.append(one)
            if len(found) <= EXAMPLES:
                self.replies[query] = replies

    def look_again(self, ask_again: Callable[[Query], dict[str, Facts]]) -> None:
        """Ask what is unexplained of ours again; what does not last is `passing`."""
        for (server, kind), found in list(self.unexplained.items()):
            if server != OURS or len(found) > FEW:
                continue
            lasting = [one for one in found if _lasts(one, ask_again)]
            self.passing += [one for one in found if one not in lasting]
            if lasting:
                self.unexplained[server, kind] = lasting
            else:
                del self.unexplained[server, kind]

    def strange(self) -> list[Difference]:
        """What passed though every peer had replied: without one of them less is compared."""
        return [one for one in self.passing if not self._unheard(one.query)]

    def _unheard(self, query: Query) -> bool:
        heard = self.replies.get(query, {})
        return any(one.rcode == NO_REPLY.rcode for name, one in heard.items() if name != OURS)

    def faults(self) -> str:
        """What is different about ours and has no reason, as text; empty where there is nothing."""
        return self.shown(OURS)

    def passed(self) -> str:
        """What differed once and never again, as text."""
        return "\n\n".join(examples(one.kind, [one], self.replies) for one in self.passing)

    def shown(self, server: str) -> str:
        """The same of any server."""
        return "\n\n".join(
            examples(kind, found, self.replies)
            for (name, kind), found in sorted(self.unexplained.items())
            if name == server
        )


def _judged(
    query: Query, replies: dict[str, Facts]
) -> Iterable[tuple[Difference, Reason | None]]:
    """Each difference of each server with the reason for it, if there is one."""
    for name in replies:
        for one in differences(name, replies, query):
            known = (*ACCEPTED, *OF_PEERS)
            yield one, next((r for r in known if r.fits(one, replies[name])), None)


def _lasts(found: Difference, ask_again: Callable[[Query], dict[str, Facts]]) -> bool:
    """Whether it is seen, and has no reason, at least once more."""
    return any(
        reason is None and one == found
        for _ in range(AGAIN)
        for one, reason in _judged(found.query, ask_again(found.query))
    )


async def _asked(stage: Stage, queries: Sequence[Query]) -> dict[str, list[bytes | None]]:
    runs = [
        ask_all(
            at,
            queries,
            tries=1 if name == OURS else 2,
            patience_s=OURS_WAITS_S if name == OURS else PEERS_WAIT_S,
        )
        for name, at in stage.servers.items()
    ]
    return dict(zip(stage.servers, await asyncio.gather(*runs), strict=True))


def ask(
    stage: Stage,
    queries: Sequence[Query],
    asking: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[dict[str, Facts]]:
    """For each query what each server says; they are asked within `asking`."""
    with asking():
        wires = asyncio.run(_asked(stage, queries))
    return [
        {name: read(replies[place], query) for name, replies in wires.items()}
        for place, query in enumerate(queries)
    ]


def run(
    stage: Stage,
    queries: Iterable[Query],
    asking: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Found:
    """Ask everybody, within `asking`, and compare."""
    found = Found()
    left = iter(queries)
    while some := list(islice(left, AT_ONCE)):
        for query, replies in zip(some, ask(stage, some, asking), strict=True):
            found.add(query, replies)
    found.look_again(lambda query: ask(stage, [query], asking)[0])
    return found
