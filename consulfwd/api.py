"""The public Python API: resolve names as the server would, with settings as in its file.

async with Resolver(load(None, os.environ, {}).settings) as resolver:
    answer = await resolver.resolve("galeradb.service.consul", "SRV")

and know a service's healthy instances at any time:

async with backends("galeradb") as galera:
    async for change in galera: ...
"""

from __future__ import annotations

from consulfwd.backends.model import Backend, Change
from consulfwd.backends.sets import Backends, SyncBackends, backends, sync_backends
from consulfwd.config import Settings, load
from consulfwd.dns.text import Record
from consulfwd.errors import ConfigError, ConsulError, ConsulfwdError, ResolveError, UsageError
from consulfwd.net.lookup import Answer, AttemptReport, Resolver

__all__ = [
    "Answer",
    "AttemptReport",
    "Backend",
    "Backends",
    "Change",
    "ConfigError",
    "ConsulError",
    "ConsulfwdError",
    "Record",
    "ResolveError",
    "Resolver",
    "Settings",
    "SyncBackends",
    "UsageError",
    "backends",
    "load",
    "sync_backends",
]
