"""The admin server of a running process: what is to be seen of it, over HTTP on this host alone.

All of it runs in a thread of its own with an event loop of its own: whatever goes on here, the
process goes on with its work.
"""
