"""The checks of addresses that move names: each asks a target one thing, within its time."""
