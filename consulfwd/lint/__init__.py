"""What will bite with Consul in the configuration of another DNS server.

`check` is the way in. `grammars` make statements of text, `rules` look at them; both are pure.
Files are read in `reading`, agents and programs asked in `asking`, nowhere else.
"""

from consulfwd.lint.asking import ask_all, installed_version
from consulfwd.lint.check import Report, Wanted, check
from consulfwd.lint.findings import Finding
from consulfwd.lint.servers import SERVERS, codes

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
