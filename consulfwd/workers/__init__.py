"""Several processes that answer at the same addresses, and one that looks after them.

What belongs here: the head (`head`), which binds, watches Consul and is looked at; workers
(`worker`), which answer; and what passes between them. How queries are answered is `server`'s,
which both are one of.
"""
