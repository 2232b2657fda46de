"""The admin server of a process that keeps something current: bound, begun and ended with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consulfwd.ops.admin.server import Admin

if TYPE_CHECKING:
    from consulfwd.config import Settings
    from consulfwd.ops.watched import Watched


class LookedAt:
    """What is to be seen of `watched`; `use` whenever settings were read, the first time too."""

    def __init__(self, watched: Watched, verb: str, name: str = "") -> None:
        self._watched = watched
        self.admin = Admin(verb, name)

    def use(self, settings: Settings) -> None:
        """Be where these settings say."""
        if self.admin.bound:
            self.admin.use(settings.admin)
        else:
            self.admin.bind(settings.admin)

    def begin(self) -> None:
        """Let people in."""
        self.admin.begin(self._watched)

    def end(self) -> None:
        """Leave nothing behind."""
        self.admin.end()
