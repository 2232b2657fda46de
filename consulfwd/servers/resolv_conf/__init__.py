"""The resolv.conf(5) of a host: what is known of it."""
