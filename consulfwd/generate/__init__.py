"""Other servers' configuration, made of the settings and of what Consul knows."""
