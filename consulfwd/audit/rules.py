"""All rules, in the order in which they are told."""

from __future__ import annotations

from consulfwd.audit import of_dependencies, of_resolver, of_servers, of_services
from consulfwd.audit.finding import Rule

GROUPS: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Services", of_services.RULES),
    ("Dependencies", of_dependencies.RULES),
    ("Consul", of_servers.RULES),
    ("consulfwd's settings", of_resolver.RULES),
)
RULES: tuple[Rule, ...] = tuple(rule for _, rules in GROUPS for rule in rules)
