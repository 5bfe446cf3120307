"""Worlds that sora_jax can draw by itself; the core does not import them."""
