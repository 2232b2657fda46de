"""Side-by-side runs: consulfwd, its peers and the floor, one core each, in the same minutes.

What belongs here: starting the servers, loading them with dnsperf, counting their CPU, and the
tables. What does not: any assertion on speed (figures move with the machine), and anything the
package itself imports. `python -m benchmarks --help`; docs/benchmarks.md says how to read it.
"""
