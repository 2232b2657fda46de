"""Files of any kind, made of users' templates and of what Consul knows."""
