"""The networks, one file each: video VAE, diffusion transformer, text encoder, critic."""
