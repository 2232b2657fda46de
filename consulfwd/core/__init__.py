"""The decisions of the resolver as pure logic: `now` and `rng` are arguments, no I/O."""
