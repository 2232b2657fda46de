"""Development agents: what answers like a small Consul cluster, inside this process.

For `consulfwd serve --dev` and for the tests, which can make each agent fail on purpose. What
belongs here: the agents, their catalog, the fault switches, and running real agents (`real`).
Nothing of it may be needed to run the resolver against a real cluster.
"""

from .answers import DnsSettings
from .catalog import Catalog, Check, DevInstance, DevNode, Status
from .cluster import DevAgent, DevCluster
from .definitions import Definition, read_definitions
from .dnsagent import DnsLimits, Received
from .faults import DnsFaults, Fault, Faults, HttpFaults, Measured, TcpFaults
from .misanswers import FORGED

__all__ = [
    "FORGED",
    "Catalog",
    "Check",
    "Definition",
    "DevAgent",
    "DevCluster",
    "DevInstance",
    "DevNode",
    "DnsFaults",
    "DnsLimits",
    "DnsSettings",
    "Fault",
    "Faults",
    "HttpFaults",
    "Measured",
    "Received",
    "Status",
    "TcpFaults",
    "read_definitions",
]
