"""What will bite with Consul in the configuration of another DNS server.

`check` is the way in. Grammars and rules are those of `servers/NAME`; both are pure.
Files are read in `reading`, agents are asked in `agents`, programs in `versions`, nowhere else.
"""

from consulfwd.lint.agents import ask_all
from consulfwd.lint.check import Report, Wanted, check
from consulfwd.lint.kinds import SERVERS, codes
from consulfwd.lint.versions import installed_version
from consulfwd.servers.findings import Finding

__all__ = [
    "SERVERS",
    "Finding",
    "Report",
    "Wanted",
    "ask_all",
    "check",
    "codes",
    "installed_version",
]
