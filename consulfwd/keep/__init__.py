"""What is in force kept current: when to look, when to act, what is told."""
