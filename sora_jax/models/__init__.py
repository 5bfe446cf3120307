"""The networks, one file each: video VAE, DiT, text encoder, critic."""
