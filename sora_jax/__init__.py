"""An open, JAX-native Sora: text, images and clips in; video out.

import sora_jax
model = sora_jax.load()
videos = model.generate("a red ball moves right on a green floor")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sora_jax.sampling.model import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Importing the package stays fast; loading a model imports the model.
    if name == "load":
        from sora_jax.sampling.model import load

        return load
    raise AttributeError(f"module 'sora_jax' has no attribute {name!r}")
