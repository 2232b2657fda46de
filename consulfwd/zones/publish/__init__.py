"""Zones published: the part that runs. Rounds, pauses, what is told, what is written down."""
