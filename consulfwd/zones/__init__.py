"""Zones made of healthy services: what belongs in them, what may be changed, and where they go."""
