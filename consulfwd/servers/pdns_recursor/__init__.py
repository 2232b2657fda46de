"""PowerDNS Recursor: what is known of it."""
