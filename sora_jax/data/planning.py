"""Plan which clips share a row of tokens, before any is read.

A plan needs only the latent shapes of clips, from the index of encoded clips or from
the specs of clips that are not encoded yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from sora_jax.config import PackingConfig
from sora_jax.data.packing import plan_rows
from sora_jax.data.patches import Patch, grid_of
from sora_jax.data.sources.protocol import ClipSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The shape of an encoded clip, without reading it.

    Attributes:
      frames: latent frames.
      height: rows of latents.
      width: columns of latents.
      stretches: number of stretches with their own captions; at least 1.
    """

    frames: int
    height: int
    width: int
    stretches: int


def latent_spec(spec: ClipSpec, time_factor: int, space_factor: int) -> LatentSpec:
    """Return the latent spec of a clip, for the factors of a VAE."""
    return LatentSpec(
        frames=1 + (spec.frames - 1) // time_factor,
        height=spec.height // space_factor,
        width=spec.width // space_factor,
        stretches=max(1, len(spec.captions) - 1),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """The part of a record to read: from latent frame `start` to its end.

    Attributes:
      record: index of the record.
      start: latent frames to skip.
    """

    record: int
    start: int = 0


def plan_views(
    index: Sequence[LatentSpec],
    mid_clip: float,
    seed: int,
    longest: int = 0,
    repeats: Sequence[int] = (),
) -> list[View]:
    """Return views of every record; some are crops without the first frame.

    Args:
      index: of all records.
      mid_clip: share of the crops.
      seed: of the crops.
      longest: skip records of more latent frames; 0 skips none.
      repeats: views of each record; one by default.
    """
    rng = np.random.default_rng(seed)
    views = []
    numbers = np.repeat(np.arange(len(index)), list(repeats) or 1).tolist()
    for number in numbers:
        spec = index[number]
        if longest and spec.frames > longest:
            continue
        start = 0
        # A crop keeps at least three frames: one given and two generated.
        if spec.frames >= 4 and rng.random() < mid_clip:
            start = int(rng.integers(1, spec.frames - 2))
        views.append(View(record=number, start=start))
    return views


def view_tokens(
    index: Sequence[LatentSpec], views: Sequence[View], patch: Patch
) -> Int[np.ndarray, " m"]:
    """Return the tokens of each view."""

    def tokens(view: View) -> int:
        spec = index[view.record]
        shape = (spec.frames - view.start, spec.height, spec.width, 0)
        t, h, w = grid_of(shape, patch)
        return t * h * w

    return np.array([tokens(view) for view in views])


class EpochPlan(NamedTuple):
    """An epoch: the views, their tokens, and the rows that they share."""

    views: list[View]
    tokens: Int[np.ndarray, " m"]
    rows: list[list[int]]


def plan_epoch(
    index: Sequence[LatentSpec],
    patch: Patch,
    packing: PackingConfig,
    seed: int,
    repeats: Sequence[int] = (),
) -> EpochPlan:
    """Plan an epoch.

    Args:
      index: of all records.
      patch: latent cells of a token.
      packing: of samples into rows.
      seed: of crops, and of which samples share a row.
      repeats: how often each record is shown; once by default.

    Raises:
      ValueError: a sample has more tokens or captions than a row has room for, or none
        is short enough.
    """
    views = plan_views(index, packing.mid_clip, seed, packing.longest, repeats)
    if not views:
        raise ValueError(
            f"packing.longest {packing.longest} leaves no clip to train on: raise it, "
            "or encode shorter ones (data.frames)"
        )
    tokens = view_tokens(index, views, patch)
    captions = np.array([index[view.record].stretches for view in views])
    rows = plan_rows(tokens, captions, packing.tokens, packing.samples, seed)
    return EpochPlan(views, tokens, rows)
