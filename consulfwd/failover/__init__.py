"""Names whose addresses move with health: what they are answered with, and why.

Only `running`, `votes` and `checks` do input and output; all that decides is pure.
"""
