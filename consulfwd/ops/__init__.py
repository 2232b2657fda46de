"""What is to be seen of a running process, and what may be ordered of it."""
