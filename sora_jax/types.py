"""The structs that flow between packages: clips, packed tokens and their contexts.

A `Clip` holds pixels; `Tokens` are the input of the transformer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from sora_jax.condition import Condition

__all__ = ["AnyArray", "Batch", "Clip", "Condition", "Context", "ContextInputs"]
__all__ += ["History", "PICTURE", "TEXT", "Tokens"]

# The context that captions and prompts are, and that of given pictures.
TEXT, PICTURE = "text", "picture"

if TYPE_CHECKING:
    AnyArray = Any
else:
    # NumPy arrays on the host, JAX arrays on the device, ShapeDtypeStructs in plans.
    AnyArray = Array | np.ndarray | jax.ShapeDtypeStruct


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caption:
    """The caption of a stretch of time of a clip.

    Attributes:
      texts: equivalent phrasings; training draws one.
      start: first frame of the stretch.
      stop: one past its last frame.
    """

    texts: tuple[str, ...]
    start: int
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """A video (or, with one frame, an image) on the host.

    Attributes:
      pixels: RGB or RGBA; `data.video.to_float` converts them for the models.
      fps: frames per second.
      captions: the first is of the whole clip; any others are of its stretches of
        time. May be empty.
    """

    pixels: UInt8[np.ndarray, "t h w c"]
    fps: float
    captions: tuple[Caption, ...] = ()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """Latents before a chunk: patches of several sizes, the first tokens of each row.

    Attributes:
      patches: by the name of their embedding, in the order of the tokens.
      coords: the s positions along (t, h, w) that each token covers.
    """

    patches: dict[str, Float[AnyArray, "b _ _"]]
    coords: Float[AnyArray, "b m 3 s"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens:
    """Rows of packed spacetime patches: several samples of any shape side by side.

    Attributes:
      x: patchified latents, noisy where they are generated.
      extra: conditioning channels: mask and latents of the given pixels.
      coords: position (t, h, w) of each token for rotary embedding; may be fractional.
      segments: which sample a token belongs to; 0 is padding.
      levels: the distinct noise levels of a row, in [0, 1]; level 0 is clean.
      level_ids: index into `levels` for each token.
      target_mask: tokens whose velocity counts in the loss and is integrated in
        sampling.
      control: patches of the control video, for a transformer with a control branch.
      control_scale: how much each block of that branch counts.
      order: a query attends only to keys of at most its own order; None: to all.
      history: what the first tokens of each row hold in the place of `x`.
    """

    x: Float[AnyArray, "b n p"]
    extra: Float[AnyArray, "b n q"]
    coords: Float[AnyArray, "b n 3"]
    segments: Int[AnyArray, "b n"]
    levels: Float[AnyArray, "b k"]
    level_ids: Int[AnyArray, "b n"]
    target_mask: Bool[AnyArray, "b n"]
    control: Float[AnyArray, "b n c"] | None = None
    control_scale: Float[AnyArray, "b m"] | None = None
    order: Int[AnyArray, "b n"] | None = None
    history: History | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """Memory for cross-attention, packed like the tokens that read it.

    Attributes:
      states: encoded context, for instance text.
      segments: segment of each state; 0 is padding, which no token attends to.
      ids: the segment that each video token attends to.
    """

    states: Float[AnyArray, "b l d"]
    segments: Int[AnyArray, "b l"]
    ids: Int[AnyArray, "b n"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextInputs:
    """What a context encoder reads of packed rows.

    Attributes:
      inputs: of each row, several; for text, the token ids of its captions, or their
        states where these were cached; for pictures, groups of p that are read
        together, as `data.picture_inputs` makes them.
      ids: which of them each video token reads, from 1; 0 reads none.
    """

    inputs: (
        Int[AnyArray, "b s l"]
        | Float[AnyArray, "b s l d"]
        | Float[AnyArray, "b s p h w 3"]
    )
    ids: Int[AnyArray, "b n"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Packed rows from the data pipeline: clean tokens and inputs of the contexts.

    Attributes:
      tokens: `x` holds clean latents; `levels` are zeros until times are drawn.
      contexts: inputs of the context encoders, by context name.
    """

    tokens: Tokens
    contexts: dict[str, ContextInputs]
