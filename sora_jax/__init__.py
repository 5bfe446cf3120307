"""An open, JAX-native Sora: text, images and clips in; video out.

import sora_jax
model = sora_jax.load()
(video,) = model.generate("a red ball moves right on a green floor")
sora_jax.write("ball.mp4", [video], fps=8)
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sora_jax.data.outputs import write
    from sora_jax.loading import load
    from sora_jax.weights.places import WeightsFiles

    __version__: str

__all__ = ["WeightsFiles", "__version__", "load", "write"]


def __getattr__(name: str) -> Any:
    # Importing the package stays fast; loading a model imports the model.
    if name == "load":
        from sora_jax.loading import load

        return load
    if name == "WeightsFiles":
        from sora_jax.weights.places import WeightsFiles

        return WeightsFiles
    if name == "write":
        from sora_jax.data.outputs import write

        return write
    if name == "__version__":
        return metadata.version("sora_jax")
    raise AttributeError(f"module 'sora_jax' has no attribute {name!r}")
