"""The public Python API: resolve names as the server would, with settings as in its file.

async with Resolver(load(None, os.environ, {}).settings) as resolver:
    answer = await resolver.resolve("galeradb.service.consul", "SRV")
"""

from __future__ import annotations

from consulfwd.config import Settings, load
from consulfwd.dns.text import Record
from consulfwd.errors import ConfigError, ConsulfwdError, ResolveError, UsageError
from consulfwd.net.lookup import Answer, AttemptReport, Resolver

__all__ = [
    "Answer",
    "AttemptReport",
    "ConfigError",
    "ConsulfwdError",
    "Record",
    "ResolveError",
    "Resolver",
    "Settings",
    "UsageError",
    "load",
]
