"""dnsmasq: what is known of it."""
