"""nftables: what is known of it."""
