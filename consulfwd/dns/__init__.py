"""The DNS protocol as pure functions on bytes: no sockets, no clock, no randomness."""
