"""Cases of the playground, a suite for each task or way to use it."""
