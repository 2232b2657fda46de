"""A grid as it is asked: which of its URLs, who is shown there, and when a request is made again.

What belongs here: going on where one URL does not answer, or is not the grid master any more.
Must not know: what is asked, what becomes of a change. What is read is asked again; what is
written is sent once, unless it cannot have taken effect: whoever writes looks first (`Unsure`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from consulfwd.errors import ApplyError
from consulfwd.zones.sinks.infoblox_http import Broken
from consulfwd.zones.sinks.infoblox_login import Login
from consulfwd.zones.sinks.infoblox_words import Answer, Verdict, parsed, refusal, verdict

# How often each URL is tried for one thing, and the pauses between (seconds).
TRIES, PAUSE, LONGEST_PAUSE = 4, 0.5, 4.0
# How many replies that do not come are waited for, each for long, before others are to decide; each
# URL is tried all the same.
SILENCES = 2
# For how many seconds it may want to be left alone, each time.
LONGEST_WAIT = 10.0

Sleep = Callable[[float], Awaitable[None]]
Params = Mapping[str, str]


class Unsure(Exception):
    """Something is perhaps written: look before it is sent again, and after `pause` seconds."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        self.why = why
        self.pause = pause
        super().__init__(why)


class Asks(Protocol):
    """What makes one request (see `infoblox_http.Http`)."""

    async def ask(
        self,
        method: str,
        base: str,
        path: str,
        params: Params,
        body: Mapping[str, Any] | None,
        shown: Mapping[str, str],
        /,
    ) -> tuple[Answer, str]: ...

    async def close(self) -> None: ...


class Read(NamedTuple):
    """What a reply holds, and who gave it: what comes in several replies is of one."""

    value: Any
    url: str


class Grid:
    """One grid, as one user is seen by it. Used within one event loop."""

    def __init__(
        self,
        where: str,
        urls: tuple[str, ...],
        user: str,
        login: Login,
        http: Asks,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.where = where
        self._urls = urls
        self._at = 0
        self._user = user
        self._login = login
        self._http = http
        self._sleep = sleep
        self._logging_in = asyncio.Lock()
        # What was wrong with each URL the last time, and with writing there.
        self._wrong: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._silences = 0
        self._given_up = False

    @property
    def tries(self) -> int:
        """How often a thing may be tried in all."""
        return TRIES * len(self._urls)

    def begin(self) -> None:
        """Ask whoever did not answer until now."""
        self._silences = 0
        self._given_up = False

    async def read(self, path: str, params: Params) -> Read:
        """Return what GET gives, from whichever URL answers. Raises ApplyError (Refusal)."""
        later = 0
        for turn in range(self.tries):
            url = self._url()
            pause = pause_after(turn // len(self._urls))
            try:
                answer = await self._shown("GET", url, path, params, None)
            except Broken as broken:
                self._leave(url, broken.why, silent=broken.slow)
            else:
                found = verdict(answer)
                if found is Verdict.TAKEN:
                    try:
                        value = parsed(answer)
                    except ValueError as error:
                        self._wrong[url] = str(error)
                    else:
                        self._wrong.pop(url, None)
                        return Read(value, url)
                elif found is Verdict.ELSEWHERE:
                    self._leave(url, _NOT_MASTER)
                elif found in (Verdict.LOGIN, Verdict.REFUSED):
                    raise refusal(self.where, self._user, answer)
                else:
                    self._wrong[url] = f"HTTP {answer.status}"
                    if found is Verdict.UNSURE:
                        self._leave(url, self._wrong[url])
                    later += found is Verdict.LATER
                    if later == TRIES:
                        break
                    pause = _wanted(answer, pause)
            # Another URL is asked at once; after the last one, all of them later.
            if turn + 1 < self.tries and (self._at == 0 or self._urls[self._at] == url):
                await self._sleep(pause)
        raise self.unreachable()

    async def write(self, method: str, path: str, body: Mapping[str, Any] | None) -> None:
        """Write something. Raises Unsure, ApplyError (Refusal)."""
        for turn in range(TRIES):
            url = self._url()
            try:
                answer = await self._shown(method, url, path, {}, body)
            except Broken as broken:
                raise self._unsure(url, broken.why, silent=broken.slow) from None
            found = verdict(answer)
            if found is Verdict.TAKEN:
                try:
                    parsed(answer)
                except ValueError as error:
                    raise self._unsure(url, str(error)) from None
                self._unwritten.clear()
                return
            if found is Verdict.ELSEWHERE:
                raise self._unsure(url, _NOT_MASTER)
            if found in (Verdict.LOGIN, Verdict.REFUSED):
                raise refusal(self.where, self._user, answer)
            if found is Verdict.UNSURE:
                pause = _wanted(answer, 0.0)
                raise self._unsure(url, f"HTTP {answer.status}", pause)
            self._unwritten[url] = f"HTTP {answer.status}"
            await self._sleep(_wanted(answer, pause_after(turn)))
        raise self.unreachable()

    async def sleep(self, seconds: float) -> None:
        """Let that time pass."""
        await self._sleep(seconds)

    def unreachable(self) -> ApplyError:
        """Return what says that nobody answers as the grid master does, and why at each URL.

        Nobody is asked any more until it begins anew: to take a push back would take as long.
        """
        self._given_up = True
        wrong = [self._unwritten.get(url) or self._wrong.get(url, "") for url in self._urls]
        told = "; ".join(f"{url}: {why}" for url, why in zip(self._urls, wrong, strict=True) if why)
        only_members = set(wrong) == {_NOT_MASTER}
        mend = (
            "give the URL of the grid master in `urls`, and those of its candidates after it"
            if only_members
            else "see whether the grid master runs and is reached, and ca_file is who signs for it"
        )
        return ApplyError(self.where, f"the grid cannot be asked: {told or 'no reply'}", mend)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    def _url(self) -> str:
        """Return who is asked now. Raises ApplyError where nobody said anything for long."""
        if self._given_up or self._silences >= max(SILENCES, len(self._urls)):
            raise self.unreachable()
        return self._urls[self._at]

    def _leave(self, url: str, why: str, *, silent: bool = False) -> None:
        """Ask the next one from now on, unless that is done already."""
        self._wrong[url] = why
        if self._urls[self._at] == url:
            self._at = (self._at + 1) % len(self._urls)
            self._silences += silent

    def _unsure(
        self, url: str, why: str, pause: float = 0.0, *, silent: bool = False
    ) -> Unsure:
        self._unwritten[url] = why
        self._leave(url, why, silent=silent)
        return Unsure(why, pause)

    async def _shown(
        self, method: str, url: str, path: str, params: Params, body: Mapping[str, Any] | None
    ) -> Answer:
        """Return the answer to a request that shows the cookie, or else the password."""
        answer = await self._let_in(method, url, path, params, body)
        self._silences = 0
        return answer

    async def _let_in(
        self, method: str, url: str, path: str, params: Params, body: Mapping[str, Any] | None
    ) -> Answer:
        header = self._login.cookie(url)
        if header:
            answer, cookie = await self._http.ask(method, url, path, params, body, header)
            if answer.status != 401:
                self._login.keep(url, cookie)
                return answer
            self._login.drop(url, header)
        # One after the other: the first one may come back with a cookie for all.
        async with self._logging_in:
            if header := self._login.cookie(url):
                answer, cookie = await self._http.ask(method, url, path, params, body, header)
                if answer.status != 401:
                    self._login.keep(url, cookie)
                    return answer
                self._login.drop(url, header)
            header = self._login.password()
            answer, cookie = await self._http.ask(method, url, path, params, body, header)
            if answer.status == 401:
                self._login.refused(header)
            else:
                self._login.keep(url, cookie)
            return answer


_NOT_MASTER = "it is not the grid master"


def pause_after(turn: int) -> float:
    """Return the seconds to wait after so many tries."""
    return min(PAUSE * float(1 << min(turn, 10)), LONGEST_PAUSE)


def _wanted(answer: Answer, pause: float) -> float:
    wanted = answer.retry_after
    return pause if wanted is None else min(max(wanted, pause), LONGEST_WAIT)
