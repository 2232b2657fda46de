"""A picture of a running process, and what came of orders, as text for people."""
