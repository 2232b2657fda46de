"""BIND: what is known of it."""
