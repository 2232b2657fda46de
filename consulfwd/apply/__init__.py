"""Files brought into force, whole or not at all."""
