"""Files made of settings and of what Consul knows, and put in place whole or not at all."""
