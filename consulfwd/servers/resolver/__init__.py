"""macOS's resolver: what is known of it."""
