"""An audit of a site: where it would still fall.

    report = run(settings, Options(services=("web-*",)))
    for finding in report.findings: ...

`run` asks Consul by the agents in the settings and returns a `Report`. It raises ConsulError where
nobody tells which services there are, and UsageError where a glob means none of them; whatever else
may not be asked is in `report.unseen`.
"""

from __future__ import annotations

import asyncio

from consulfwd.audit.asking import Options, look
from consulfwd.audit.finding import SEVERITIES, Finding, Severity
from consulfwd.audit.report import Report, against, audit, without
from consulfwd.audit.site import Limits, Need, Site, Unseen
from consulfwd.config import Settings

__all__ = [
    "SEVERITIES",
    "Finding",
    "Limits",
    "Need",
    "Options",
    "Report",
    "Severity",
    "Site",
    "Unseen",
    "against",
    "audit",
    "examine",
    "look",
    "run",
    "without",
]


async def examine(settings: Settings, options: Options = Options()) -> Report:  # noqa: B008
    """Return the report on the site that the settings lead to. Raises ConsulError."""
    return audit(await look(settings, options), options.limits)


def run(settings: Settings, options: Options = Options()) -> Report:  # noqa: B008
    """Return the same, for who has no event loop."""
    return asyncio.run(examine(settings, options))
