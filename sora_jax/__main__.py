"""`python -m sora_jax NAME ...` is `sora-jax NAME ...`."""

from sora_jax.commands.program import main

if __name__ == "__main__":
    main()
