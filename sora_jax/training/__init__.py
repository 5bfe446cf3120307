"""Training: objectives, optimizer, state, step, loop, and encoding of clips."""
