"""dnsdist: what is known of it."""
