"""The configuration: what can be set, and how it is read.

Everything else gets a `Settings` and never asks where a value came from.
"""

from consulfwd.config.addresses import Agent, Endpoint, Recursor, Seeds
from consulfwd.config.load import Loaded, default_path, load
from consulfwd.config.settings import Settings

__all__ = ["Agent", "Endpoint", "Loaded", "Recursor", "Seeds", "Settings", "default_path", "load"]
