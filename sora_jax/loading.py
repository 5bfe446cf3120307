"""`sora_jax.load`: a model with all that the package knows of its weights."""

from __future__ import annotations

from sora_jax.config import SAMPLING_MESH, MeshConfig
from sora_jax.files import PathLike
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling import model
from sora_jax.weights import bundle
from sora_jax.worlds.playground.expander import PlaygroundExpander


def load(
    folder: PathLike = bundle.ASSETS,
    mesh: MeshConfig = SAMPLING_MESH,
    *,
    limits: Limits = LIMITS,
    rewords: bool = True,
) -> model.Model:
    """Load a model; without a folder, the one that ships with the package.

    Args:
      folder: of weights, ours or Wan's.
      mesh: how devices share them, and each video.
      limits: what may be asked for; `sora_jax.limits.UNLIMITED` lifts them.
      rewords: whether prompts are put into the words of the model's training, where
        they are known to say the same; what is changed is told.

    Raises:
      ValueError: an argument is of another type, the folder is none, or a file in it
        is missing or damaged.
    """
    expander = PlaygroundExpander()
    return model.load(folder, mesh, limits=limits, expander=expander, rewords=rewords)
