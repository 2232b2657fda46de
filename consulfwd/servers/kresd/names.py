"""What functions and actions of Knot Resolver's are called, where more than one part knows them."""

from __future__ import annotations

STUB = "policy.STUB"
TLS = "policy.TLS_FORWARD"
FORWARDS = frozenset({"policy.FORWARD", TLS})
# What `forward` of version 6 comes to: zones, options, servers.
RULE_FORWARD = "policy.rule_forward_add"
SENDING = FORWARDS | {STUB, RULE_FORWARD}
