"""What will bite with Consul in the configuration of another DNS server.

`check` is the way in. `grammars` make statements of text, `rules` look at them; both are pure.
Files are read in `reading`, agents are asked in `agents`, programs in `versions`, nowhere else.
"""

from consulfwd.lint.agents import ask_all
from consulfwd.lint.check import Report, Wanted, check
from consulfwd.lint.findings import Finding
from consulfwd.lint.kinds import SERVERS, codes
from consulfwd.lint.versions import installed_version

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
