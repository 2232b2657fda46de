"""Targets of zones that are somebody else's: a file, a server that takes updates, a grid."""
