"""Plan steps for absent machines: memory, traffic and time."""
