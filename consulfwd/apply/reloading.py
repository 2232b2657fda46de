"""The reload commands of one run: run once each, and run again on the way back.

What belongs here: which of them told somebody, and which found nobody. What a command says by
failing is in `running`; must not know what was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consulfwd.apply import running
from consulfwd.apply.change import Command
from consulfwd.apply.commands import Ran, own_unit, shown
from consulfwd.errors import ApplyError

_MEND = (
    "see what it says; if all it says is that nobody runs, let it end with exit code"
    f" {running.NOT_RUNNING}: then the new text stays for the start"
)


class Reloading:
    """Runs commands by `run`. `took` are those that succeeded, `idle` those that found nobody."""

    def __init__(self, run: Callable[[Command], Ran], own: str | None = None) -> None:
        self.took: set[Command] = set()
        self.idle: set[Command] = set()
        self._run = run
        self._own = own_unit() if own is None else own
        self._told: set[Command] = set()  # whoever is told by these ran when it began

    def tell(self, where: str, command: Command) -> None:
        """Run a command, or note that nobody runs whom it could tell. Raises ApplyError."""
        found = self._ask(command)
        if found.nobody:
            self.idle.add(command)
            return
        self._told.add(command)
        ran = self._run(running.at_once(command) if found.waits else command)
        if running.nobody_there(ran):
            self._told.remove(command)
            self.idle.add(command)
            return
        if ran.wrong:
            raise ApplyError(where, str(ran), _MEND, output=ran.output)
        self.took.add(command)

    def to_be_seen(self) -> dict[Command, Command]:
        """Return what asks whether those who were told still run, by what told them.

        They ran before, as was asked; of a unit that is started nobody knows whether it is to last.
        """
        questions = {command: running.question(command) for command in self.took}
        return {command: asked for command, asked in questions.items() if asked is not None}

    def see(self, where: str) -> None:
        """Raise ApplyError for a server that ended by what it was told, though it had taken it."""
        for command, asked in self.to_be_seen().items():
            if running.answered(self._run(asked)).nobody:
                what = f"`{shown(command)}` succeeded, but what it told does not run any more"
                mend = "see its log; a checker before the command finds what is wrong"
                raise ApplyError(where, what, mend)

    def tell_again(self, commands: Iterable[Command]) -> list[str]:
        """Have those who run use what was put back; return what went wrong."""
        ran = [self._again(command) for command in commands if command not in self.idle]
        return [f"{one}\n{one.output}".strip() for one in ran if one is not None and one.wrong]

    def _again(self, command: Command) -> Ran | None:
        found = self._ask(command)
        if command in self._told:
            # They are to run again, should the new text have ended them.
            words = running.starting(command) if found.nobody else command
            return self._run(running.at_once(words) if found.waits else words)
        if found.nobody:
            return None
        ran = self._run(running.at_once(command) if found.waits else command)
        return None if running.nobody_there(ran) else ran

    def _ask(self, command: Command) -> running.Answer:
        """Ask, where that can be asked, whether whom a command is to tell runs."""
        question = running.question(command, self._own)
        return running.Answer() if question is None else running.answered(
            self._run(question), self._own
        )
