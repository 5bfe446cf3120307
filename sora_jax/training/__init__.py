"""Training: state, optimizer, steps, the loop, and the latent cache."""
