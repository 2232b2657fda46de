"""Instances and nodes taken out of DNS for work, and put back: `consulfwd maintain`."""
