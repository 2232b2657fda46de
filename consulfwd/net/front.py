"""What a listener needs of the server behind it, and no more."""

from __future__ import annotations

import random
from dataclasses import dataclass

from consulfwd.net.driver import Driver
from consulfwd.net.jar import Jar
from consulfwd.net.questions import Questions
from consulfwd.net.table import Table
from consulfwd.net.warmth import Warmth


@dataclass(frozen=True)
class Front:
    """Raw queries become `questions`, the `table` answers them.

    `driver` is told when many come at once, so that what is to be sent goes out together; `warmth`
    says how long ready answers are good, `rng` varies the order of records, and `jar` has cookies.
    """

    questions: Questions
    table: Table
    driver: Driver
    warmth: Warmth
    rng: random.Random
    jar: Jar
