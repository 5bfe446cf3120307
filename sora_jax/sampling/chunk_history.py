"""The history of a chunk: latents before it, as the first tokens of a row.

As in Helios (arXiv 2603.04379, section 3.1): the farther in time, the larger the
patches. Times count from the beginning of the history, the same for every chunk.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from sora_jax.config import ChunksConfig, HistoryConfig
from sora_jax.config.history import SCALES
from sora_jax.data.patches import Patch, patchify
from sora_jax.types import AnyArray, History, Tokens

COVERED = max(SCALES.values())  # positions of a token along each axis


def split_times(chunks: ChunksConfig) -> dict[str, list[int]]:
    """Return the latent frames of a history that enter through each embedding."""
    first = int(chunks.keeps_first)
    mid = first + chunks.long
    short = mid + chunks.mid
    return {
        "long": list(range(first, mid)),
        "mid": list(range(mid, short)),
        "short": [*range(first), *range(short, first + chunks.history)],
    }


def history_of(
    latents: Float[np.ndarray, "b t h w z"], chunks: ChunksConfig, patch: Patch
) -> History:
    """Cut the latents before a chunk into patches of three sizes.

    Args:
      latents: the first of the video, if it is kept, then those before the chunk.
      chunks: how many enter through each embedding.
      patch: of the transformer; those of a history are 1, 2 and 4 times as large.
    """
    rows = [side // p for side, p in zip(latents.shape[2:4], patch[1:], strict=True)]
    patches, coords = {}, []
    for name, times in split_times(chunks).items():
        scale = SCALES[name]
        large = (scale * patch[0], scale * patch[1], scale * patch[2])
        padded = pad_to_multiples(latents[:, times], large)
        patches[name] = np.stack([patchify(each, large) for each in padded])
        axes = [covered(x, scale) for x in (times, *map(range, rows))]
        coords.append(mesh(*axes))
    positions = np.concatenate(coords)
    return History(
        patches=patches,
        coords=np.broadcast_to(positions, (len(latents), *positions.shape)),
    )


def pad_to_multiples(
    latents: Float[np.ndarray, "b t h w z"], unit: Patch
) -> Float[np.ndarray, "b t2 h2 w2 z"]:
    """Repeat the last cells until the sides are multiples."""
    missing = [(0, -side % u) for side, u in zip(latents.shape[1:4], unit, strict=True)]
    return np.pad(latents, [(0, 0), *missing, (0, 0)], mode="edge")


def covered(positions: list[int] | range, scale: int) -> Float[np.ndarray, "g s"]:
    """Return the positions that each of the larger patches along an axis covers."""
    padded = np.pad(
        np.asarray(positions, np.float32), (0, -len(positions) % scale), mode="edge"
    )
    return np.repeat(padded.reshape(-1, scale), COVERED // scale, axis=1)


def mesh(
    t: Float[np.ndarray, "t s"],
    h: Float[np.ndarray, "h s"],
    w: Float[np.ndarray, "w s"],
) -> Float[np.ndarray, "n 3 s"]:
    """Combine the positions of patches along the three axes."""
    index = np.meshgrid(*(np.arange(len(x)) for x in (t, h, w)), indexing="ij")
    pairs = zip((t, h, w), index, strict=True)
    return np.stack([axis[at.reshape(-1)] for axis, at in pairs], axis=1)


def prepend(
    tokens: Tokens,
    ids: Int[AnyArray, "b n"],
    history: History,
    config: HistoryConfig,
) -> tuple[Tokens, Int[np.ndarray, "b n2"]]:
    """Put a history before the tokens of each row.

    Args:
      tokens: rows of a chunk.
      ids: what of a context each of them reads.
      history: of each row.
      config: of the transformer.

    Returns:
      The rows, and what of the context each token reads.
    """
    count = history.coords.shape[1]

    def before(x: AnyArray, value: int = 0) -> np.ndarray:
        first = np.full((len(x), count, *x.shape[2:]), value, x.dtype)
        return np.concatenate([first, np.asarray(x)], axis=1)

    rows = dataclasses.replace(
        tokens,
        x=before(tokens.x),
        extra=before(tokens.extra),
        coords=before(tokens.coords),
        segments=before(tokens.segments, 1),
        level_ids=before(tokens.level_ids, 0 if config.is_clean else 1),
        target_mask=before(tokens.target_mask),
        history=history,
    )
    return rows, before(ids, 1 if config.reads_text else 0)
