"""What a step takes on machines that are not here: memory, traffic and time."""
