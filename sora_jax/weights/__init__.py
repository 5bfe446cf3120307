"""Read and write weights: sora_jax folders, layouts of families, adapters."""
