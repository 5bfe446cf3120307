"""A window of a video, and the rows of tokens that the transformer reads of it."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
from jaxtyping import Float

from sora_jax.config import HistoryConfig
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates, patchify
from sora_jax.data.pipeline import join
from sora_jax.sampling.chunk_history import prepend
from sora_jax.sampling.request import Request
from sora_jax.types import PICTURE, AnyArray, Batch, ContextInputs, History
from sora_jax.weights.model_weights import Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """Inputs of one run of the solver.

    Attributes:
      number: of the window; each has its own noise.
      frames: latent frames, without references.
      references: latent frames before them, which are made again and dropped.
      prefix: clean latents at the beginning, for each video.
      room: latent frames that its rows have room for, where they are more.
      time: of its first latent; 0 is that of the single frame that opens a video.
      extras: (share of the steps in which they hold, conditioning channels) pairs, in
        order of the shares; after the last, the channels are zeros.
      pictures: the given frames, p of each video, for the picture encoder.
      source: latents to start denoising from.
      noise: initial latents of a block; by default those of the request, or drawn.
      cells: (height, width) of coarser latents, in a stage of a chunk.
      history: what comes before a chunk, as tokens.
      story: (latent frame, prompt) of each stretch of time, the first from 0 or before;
        None is the video's own prompt.
    """

    number: int = 0
    frames: int
    references: int = 0
    prefix: Float[AnyArray, "b _ h w z"] | None = None
    room: int = 0
    time: float = 0.0
    extras: tuple[tuple[int | float, Float[np.ndarray, "b t h w q"]], ...] = ()
    pictures: Float[np.ndarray, "b p h2 w2 3"] | None = None
    source: Float[AnyArray, "t h w z"] | None = None
    noise: Float[AnyArray, "b t h w z"] | None = None
    cells: tuple[int, int] | None = None
    history: History | None = None
    story: tuple[tuple[int, str | None], ...] = ((0, None),)

    @property
    def before(self) -> int:
        """Return how many tokens its history has."""
        return 0 if self.history is None else self.history.coords.shape[1]


def with_pictures(row: Batch, pictures: Float[np.ndarray, "p h w 3"]) -> Batch:
    """Let all tokens of a row read a group of pictures."""
    ids = (np.asarray(row.tokens.segments) > 0).astype(np.int32)
    read = ContextInputs(inputs=pictures[None, None], ids=ids)
    return dataclasses.replace(row, contexts={**row.contexts, PICTURE: read})


def with_history(batch: Batch, history: History, config: HistoryConfig) -> Batch:
    """Put a history, of each video, before the tokens of all rows."""
    times = len(batch.tokens.segments) // len(history.coords)
    repeated = jax.tree.map(lambda x: np.concatenate([x] * times), history)
    contexts = {}
    tokens = batch.tokens
    for name, read in batch.contexts.items():
        tokens, ids = prepend(batch.tokens, read.ids, repeated, config)
        contexts[name] = dataclasses.replace(read, ids=ids)
    return Batch(tokens=tokens, contexts=contexts)


def window_rows(
    window: Window,
    grid: tuple[int, int, int],
    request: Request,
    weights: Weights,
    *,
    is_guided: bool,
    captions: int,
) -> Batch:
    """Build a row for each video and, with guidance, one for each without prompt.

    Rows are padded to a multiple of the devices that share them.

    Args:
      window: of the request.
      grid: its patches along (t, h, w).
      request: what is sampled.
      weights: of the model.
      is_guided: whether there are rows without prompt.
      captions: room for captions.
    """
    config, settings = weights.config, request.settings
    patch, history = config.dit.patch, window.history
    count, per_frame = math.prod(grid), grid[1] * grid[2]
    room = window.before + max(count, window.room * per_frame)
    room = weights.mesh_plan.round_up(room, "tokens") - window.before
    coords = coordinates(grid, start=window.time, rate=time_rate(request, config.fps))
    starts = np.array([start for start, _ in window.story])
    at = np.maximum(np.arange(grid[0]) - window.references, 0)
    stretch = np.searchsorted(starts, at, side="right") - 1
    encode, pad_to = weights.tokenizer.encode, config.text.pad_to
    prompts, negative = request.prompts, settings.negative_prompt
    told = [[text or prompt for _, text in window.story] for prompt in prompts]
    untold = [[negative] * len(starts)] * len(prompts) * is_guided
    rows = []
    for number, texts in enumerate(told + untold):
        x = np.zeros((count, config.dit.patch_features), np.float32)
        clean = np.zeros(count, bool)
        if window.prefix is not None:
            given = np.asarray(window.prefix[number % len(prompts)])
            given = patchify(given, patch)
            x[: len(given)], clean[: len(given)] = given, True
        sample = Sample(
            x=x,
            extra=np.zeros((count, config.dit.extra_features), np.float32),
            coords=coords,
            clean=clean,
            captions=np.stack([encode(text, pad_to) for text in texts]),
            caption_ids=np.repeat(stretch, per_frame).astype(np.int32),
        )
        row = pack_row([sample], room, captions, pad_to)
        if window.pictures is not None:
            row = with_pictures(row, window.pictures[number % len(prompts)])
        rows.append(row)
    batch = join(rows)
    if history is None or config.dit.history is None:
        return batch
    return with_history(batch, history, config.dit.history)


def time_rate(request: Request, fps: int | float | None) -> float:
    """Return the time between two latent frames, in those of the model's rate."""
    return 1.0 if fps is None else fps / request.settings.fps
