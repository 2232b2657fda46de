"""CoreDNS: what is known of it."""
