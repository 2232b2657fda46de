"""The entries in a reply of /v1/health/service, read once: all views of such a reply are of these.

What belongs here: the form of the reply, and what each entry is made of. Must not know who looks at
them. Pure. That form is Consul's own, whoever registers what: a reply without it is refused as a
whole (ValueError). What is in it strangers may have written, and how strict one is with that is the
view's own business, since it depends on what becomes of it:

| View | of a field that is odd |
|---|---|
| DNS (`content`) | Consul answers all the same, so it is compared and shown as Consul does |
| values for files (`values`), zones | it could end a line: the instance, or the reply, is refused |
| Consul's servers (`servers`) | what is no address of a host is left out |

`fields` is all there is of an entry: DNS may come to show what is not known today, so that a change
of any field must be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from consulfwd.consul.strict import listed, mapping


class Entry(NamedTuple):
    """One instance of a service, the node it is on, and the checks of both."""

    fields: Mapping[str, Any]
    node: Mapping[str, Any]
    service: Mapping[str, Any]
    checks: list[Mapping[str, Any]]

    @property
    def statuses(self) -> list[object]:
        """What each check says; Consul's are texts."""
        return [one.get("Status") for one in self.checks]

    @property
    def own_address(self) -> object:
        """The service's own address, if it has one; else its node's counts."""
        return self.service.get("Address") or ""


def entries(parsed: object) -> list[Entry]:
    """Return the entries of a decoded reply. Raises ValueError when it is not of Consul's form."""
    return [_entry(one) for one in listed(parsed, "the instances")]


def _entry(thing: object) -> Entry:
    fields = mapping(thing, "an instance")
    checks = listed(fields.get("Checks"), "Checks")
    return Entry(
        fields,
        mapping(fields.get("Node"), "Node"),
        mapping(fields.get("Service"), "Service"),
        [mapping(one, "a check") for one in checks],
    )
