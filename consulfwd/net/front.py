"""What a listener needs of the server behind it, and no more."""

from __future__ import annotations

import random
from dataclasses import dataclass

from consulfwd.net.driver import Driver
from consulfwd.net.questions import Questions
from consulfwd.net.table import Table
from consulfwd.net.warmth import Warmth


@dataclass(frozen=True)
class Front:
    """Raw queries become `questions`, the `table` answers them.

    `driver` is told when many come at once, so that what is to be sent goes out together; `warmth`
    says how long ready answers are good, and `rng` varies the order of records.
    """

    questions: Questions
    table: Table
    driver: Driver
    warmth: Warmth
    rng: random.Random
