"""Knot Resolver: what is known of it."""
