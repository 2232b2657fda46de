"""Consul's HTTP API: what agents say of their data and of each other."""
