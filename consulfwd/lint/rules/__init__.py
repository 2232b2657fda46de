"""What bites with Consul, per server: a table of rules, and who the server sends names to.

Pure functions over the statements. A rule says something only where it knows: what may stand in
a file that was not read is not held against this one.
"""
