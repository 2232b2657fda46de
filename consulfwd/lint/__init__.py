"""What will bite with Consul in the configuration of another DNS server.

`check` is the way in. Grammars and rules are those of `servers/NAME`; both are pure.
What a text is at all is told in `forms`. Files are read in `reading`, agents are asked in `agents`,
programs in `versions`, nowhere else.
"""

from consulfwd.lint.agents import ask_all
from consulfwd.lint.check import Report, Wanted, check, judged, read
from consulfwd.lint.kinds import SERVERS, codes
from consulfwd.lint.versions import checked_by, installed_version
from consulfwd.servers.findings import Finding

__all__ = [
    "SERVERS",
    "Finding",
    "Report",
    "Wanted",
    "ask_all",
    "check",
    "checked_by",
    "codes",
    "installed_version",
    "judged",
    "read",
]
