"""Encode what the control branch reads: kept pixels, a control video, references.

As in VACE (arXiv 2503.07598): the latents of the kept pixels, those of the pixels to be
made (of a control video, or grey), and the mask; references are frames before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from sora_jax.condition import Condition, Guide
from sora_jax.data.interpolation import bilinear, resize
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan


def encode_control(
    vae: VAE,
    conditions: Sequence[Condition],
    guide: Guide,
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[np.ndarray, "b t h w q"]:
    """Encode the control of each video, references first."""
    factor, cell = vae.config.time_factor, vae.config.space_factor
    made = np.stack([np.asarray(c.mask) <= 0.5 for c in conditions])
    pixels = np.stack([np.asarray(c.pixels, np.float32) for c in conditions])
    shown = np.zeros_like(pixels) if guide.control is None else guide.control[None]
    parts = (
        np.where(made[..., None], 0, pixels),
        np.where(made[..., None], shown, 0),
    )
    latents = [
        np.asarray(codec.encode(vae, part.astype(np.float32), mesh_plan))
        for part in parts
    ]
    masks = np.stack([fold_made(mask, factor, cell) for mask in made])
    control = np.concatenate([*latents, masks], axis=-1)
    if guide.references:
        before = encode_references(vae, guide, pixels.shape[2:4], mesh_plan)
        room = control.shape[-1] - before.shape[-1]
        before = np.pad(before, ((0, 0), (0, 0), (0, 0), (0, room)))
        repeated = np.broadcast_to(before, (len(control), *before.shape))
        control = np.concatenate([repeated, control], axis=1)
    return control.astype(np.float32)


def encode_references(
    vae: VAE,
    guide: Guide,
    size: tuple[int, int],
    mesh_plan: MeshPlan = SINGLE_DEVICE,
) -> Float[np.ndarray, "r h w z"]:
    """Encode each reference, fitted into a frame of (height, width), by itself."""
    frames = np.stack([on_white(picture, *size) for picture in guide.references])
    return np.asarray(codec.encode(vae, frames[:, None], mesh_plan))[:, 0]


def fold_made(
    made: Bool[np.ndarray, "t h w"], time_factor: int, space_factor: int
) -> Float[np.ndarray, "t2 h2 w2 f"]:
    """Bring a mask to latent resolution: a channel for each pixel of a cell.

    A latent frame has the mask of one of its pixel frames, the nearest in time.
    """
    frames, height, width = made.shape
    count = 1 + (frames - 1) // time_factor
    chosen = np.floor((np.arange(count) + 0.5) * frames / count).astype(int)
    rows, columns = height // space_factor, width // space_factor
    cells = made[chosen].reshape(count, rows, space_factor, columns, space_factor)
    cells = cells.transpose(0, 1, 3, 2, 4)
    return cells.reshape(count, rows, columns, -1).astype(np.float32)


def on_white(
    picture: Float[np.ndarray, "h w 3"], height: int, width: int
) -> Float[np.ndarray, "h2 w2 3"]:
    """Fit a picture into a white frame, in the middle."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    rows, columns = (max(1, int(side * scale)) for side in picture.shape[:2])
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.ones((height, width, 3), np.float32)
    resized = resize(picture, rows, columns, bilinear)
    canvas[top : top + rows, left : left + columns] = resized
    return canvas
