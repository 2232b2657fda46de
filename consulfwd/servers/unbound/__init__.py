"""unbound: what is known of it."""
