"""systemd-resolved: what is known of it."""
