"""Settings of the process that only a program's entry point makes."""

from __future__ import annotations

import logging
import os

import jax
import platformdirs


def enable_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that they start fast.

    A folder that was chosen already (`JAX_COMPILATION_CACHE_DIR`) stays chosen.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = platformdirs.user_cache_path("sora_jax") / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def tell() -> None:
    """Show what the package has to say about what it does."""
    logger, handler = logging.getLogger(__package__), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
