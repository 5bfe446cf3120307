"""Pack samples of any shape into rows (Patch n' Pack, Dehghani et al. 2023).

`plan_rows` assigns samples to rows by their token counts, before anything is loaded;
`pack_row` concatenates the loaded samples. Training and
sampling build their rows with the same function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from sora_jax.types import TEXT, Batch, ContextInputs, Tokens

# Samples are planned in windows of this many, shuffled, so that rows stay random.
WINDOW = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip as tokens, ready to be packed.

    Attributes:
      x: patchified clean latents.
      extra: conditioning channels.
      coords: position of each token.
      clean: tokens that are given, at noise level 0.
      captions: token ids of the caption of each stretch of time, or its text states.
      caption_ids: the caption that each token attends to.
      blocks: the block of time of each token, from 0; None is one block. Each has a
        noise level of its own, and sees no later one.
    """

    x: Float[np.ndarray, "n p"]
    extra: Float[np.ndarray, "n q"]
    coords: Float[np.ndarray, "n 3"]
    clean: Bool[np.ndarray, " n"]
    captions: Int[np.ndarray, "s l"] | Float[np.ndarray, "s l d"]
    caption_ids: Int[np.ndarray, " n"]
    blocks: Int[np.ndarray, " n"] | None = None


def plan_rows(
    lengths: Int[np.ndarray, " m"],
    captions: Int[np.ndarray, " m"],
    tokens: int,
    most_captions: int,
    seed: int,
) -> list[list[int]]:
    """Assign samples to rows.

    Best fit, longest first, within windows of shuffled samples; a row that is not
    nearly full is dissolved, and its samples move to the next window.

    Args:
      lengths: tokens of each sample.
      captions: captions of each sample.
      tokens: room in a row.
      most_captions: room for captions in a row.
      seed: of the shuffle.
    """
    if lengths.max(initial=0) > tokens:
        raise ValueError(
            f"packing.tokens must be at least {lengths.max()}, the longest sample, "
            f"got {tokens}: raise it, or encode shorter or smaller clips"
        )
    if captions.max(initial=0) > most_captions:
        raise ValueError(
            f"packing.samples must be at least {captions.max()}, the most captions of "
            f"one sample, got {most_captions}: raise it"
        )

    # Nearly full, or without room for the shortest sample.
    enough = min(0.97 * tokens, tokens - lengths.min(initial=tokens) + 1)

    def is_full(row: list[int]) -> bool:
        # A row without room for another caption is full, too: waiting for a sample
        # that fits would make planning slow.
        told = int(captions[row].sum())
        return bool(lengths[row].sum() >= enough) or told >= most_captions

    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    rows: list[list[int]] = []
    waiting: list[int] = []
    while order:
        waiting += order[:WINDOW]
        del order[:WINDOW]
        candidates = best_fit(waiting, lengths, captions, tokens, most_captions)
        full = [r for r in candidates if not order or is_full(r)]
        rows += full
        used = {index for row in full for index in row}
        waiting = [index for index in waiting if index not in used]
    return rows


def best_fit(
    indices: Sequence[int],
    lengths: Int[np.ndarray, " m"],
    captions: Int[np.ndarray, " m"],
    tokens: int,
    most_captions: int,
) -> list[list[int]]:
    """Put each sample, longest first, into the row where it leaves the least room."""
    rows: list[list[int]] = []
    room = np.zeros((0, 2), np.int64)
    for index in sorted(indices, key=lambda i: (-lengths[i], i)):
        need = np.array([lengths[index], captions[index]])
        fits = np.flatnonzero((room >= need).all(axis=1))
        if fits.size:
            row = int(fits[np.argmin(room[fits, 0])])
            rows[row].append(index)
            room[row] -= need
        else:
            rows.append([index])
            room = np.vstack([room, [tokens, most_captions] - need])
    return rows


def pack_row(
    samples: Sequence[Sample],
    tokens: int,
    most_captions: int,
    pad_to: int,
    levels: int | None = None,
) -> Batch:
    """Pack samples into a batch of one row.

    Each sample is a segment with its own noise level, or with one for each of its
    blocks; level 0 is clean.

    Args:
      samples: to pack.
      tokens: room in the row.
      most_captions: room for captions.
      pad_to: tokens of a caption, or of its text states.
      levels: noise levels of the row, if samples may have blocks; level 0 included.
    """
    p, q = samples[0].x.shape[1], samples[0].extra.shape[1]
    x = np.zeros((tokens, p), np.float32)
    extra = np.zeros((tokens, q), np.float32)
    coords = np.zeros((tokens, 3), np.float32)
    segments, level_ids, order, text_ids = np.zeros((4, tokens), np.int32)
    target_mask = np.zeros(tokens, bool)
    told = samples[0].captions
    text = np.zeros((most_captions, pad_to, *told.shape[2:]), told.dtype)
    start, caption, level = 0, 0, 1
    for segment, sample in enumerate(samples, start=1):
        stop = start + len(sample.x)
        here = slice(start, stop)
        x[here], extra[here], coords[here] = sample.x, sample.extra, sample.coords
        segments[here] = segment
        if sample.blocks is not None:
            order[here] = sample.blocks
        level_ids[here] = np.where(sample.clean, 0, level + order[here])
        target_mask[here] = ~sample.clean
        # Caption segments count from 1 over the whole row.
        text_ids[here] = caption + 1 + sample.caption_ids
        text[caption : caption + len(sample.captions)] = sample.captions
        start, caption = stop, caption + len(sample.captions)
        level += 1 + int(order[here].max())
    row = Tokens(
        x=x[None],
        extra=extra[None],
        coords=coords[None],
        segments=segments[None],
        levels=np.zeros((1, levels or most_captions + 1), np.float32),
        level_ids=level_ids[None],
        target_mask=target_mask[None],
        order=None if levels is None else order[None],
    )
    captions = ContextInputs(inputs=text[None], ids=text_ids[None])
    return Batch(tokens=row, contexts={TEXT: captions})


def statistics(
    rows: Sequence[Sequence[int]], lengths: Int[np.ndarray, " m"], tokens: int
) -> dict[str, float]:
    """Return the share of padding, and of masked attention pairs in dense rows."""
    filled = sum(int(lengths[i]) for row in rows for i in row)
    pairs = sum(int(lengths[i]) ** 2 for row in rows for i in row)
    return {
        "padding": 1 - filled / (len(rows) * tokens),
        "masked_pairs": 1 - pairs / (len(rows) * tokens**2),
    }
