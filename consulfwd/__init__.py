"""consulfwd: a local DNS forwarder for hosts in a Consul datacenter."""

__version__ = "0.3.0"
