"""Asks for services, and for whatever they need, followed to the end.

What belongs here: which services are read, and in which order. Must not know: rules, nor what else
there is in Consul.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote

from consulfwd.audit import reading
from consulfwd.audit.finding import names as shown
from consulfwd.audit.inquiry import AT_ONCE, Inquiry, told
from consulfwd.audit.site import Need, Service
from consulfwd.config.wording import printable
from consulfwd.errors import ConsulError, UsageError

# So many are read at most.
MOST_SERVICES = 20_000
CONSUL = "consul"


async def services(
    inquiry: Inquiry, globs: Sequence[str], names: list[str], needs: list[Need]
) -> tuple[dict[str, Service], list[str], list[Need]]:
    """Return the services that are meant and whatever they need, which those are, who needs whom.

    `names` are all there are, `needs` what is known of needs without metadata.
    """

    def chosen(name: str) -> bool:
        return name != CONSUL and any(fnmatchcase(name, glob) for glob in globs)

    listed = frozenset(names)
    every = list(needs)
    onward: dict[str, list[str]] = {}
    for one in needs:
        onward.setdefault(one.source, []).append(one.target)
    # A file may tell of what is no service of Consul's, and needs some.
    frontier = [name for name in dict.fromkeys([*names, *sorted(onward)]) if chosen(name)]
    selected = [name for name in frontier if name in listed]
    for glob in globs:
        # One that is misspelt would be found sound.
        if glob != "*" and not any(fnmatchcase(name, glob) for name in frontier):
            raise UsageError(f"there is no service {printable(glob)} in the catalog")
    wanted = dict.fromkeys(frontier)
    found: dict[str, Service] = {}
    while frontier:
        here = [name for name in frontier if name in listed]
        for name, targets in await _read(inquiry, here, found):
            every += [Need(name, target, "meta") for target in targets]
            onward.setdefault(name, []).extend(targets)
        reached = [target for name in frontier for target in onward.get(name, ())]
        frontier = [one for one in dict.fromkeys(reached) if one not in wanted]
        wanted.update(dict.fromkeys(frontier))
    every = [one for one in every if one.source in wanted]
    return found, [one for one in selected if one in found], every


async def _read(
    inquiry: Inquiry, names: list[str], found: dict[str, Service]
) -> list[tuple[str, list[str]]]:
    """Read services, several at once, and return what each needs by its metadata."""
    room = MOST_SERVICES - len(found)
    left = iter(names[:room])
    late = list(names[room:])
    failed: dict[str, list[str]] = {}
    needs: dict[str, list[str]] = {}

    async def work() -> None:
        for name in left:
            if inquiry.over:
                late.append(name)
                continue
            try:
                reply = await inquiry.get("/v1/health/service/" + quote(name, safe=""))
                service, targets, odd = reading.service(name, reply.json())
            except ConsulError as error:
                failed.setdefault(told(error), []).append(name)
                continue
            except ValueError as error:
                why = f"the reply is not of Consul's form: {error}"
                failed.setdefault(why, []).append(name)
                continue
            if not service.instances:
                failed.setdefault("it has no instance that may be read", []).append(name)
                continue
            found[name] = service
            needs[name] = targets
            if odd:
                why = f"a part of its metadata {reading.DEPENDS_ON} is no list of names"
                failed.setdefault(why, []).append(name)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    if late:
        why = f"at most {MOST_SERVICES} are read, within {inquiry.timeout:g} s"
        failed.setdefault(why, []).extend(late)
    for why, those in sorted(failed.items()):
        count = f"{len(those)} services" if len(those) > 1 else "the service"
        inquiry.note(f"{count} {shown(sorted(those))}", why)
    return sorted(needs.items())
