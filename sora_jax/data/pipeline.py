"""Encoded clips to batches of packed rows, as a Grain dataset.

Which clips share a row is planned once (`planning`); Grain shuffles the rows anew in
every epoch, draws captions and clean prefixes, and remembers its position.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import grain
import jax
import numpy as np
from absl import flags
from jaxtyping import Int, Shaped

from sora_jax.config import PackingConfig
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import Patch, coordinates, grid_of, patchify
from sora_jax.data.planning import View
from sora_jax.data.records import Record, Records
from sora_jax.types import Batch

# More than any run reads; Grain's infinite repeat overflows when sliced.
EPOCHS = 1_000_000
# (text, length) -> token ids, or text states
Encode = Callable[[str, int], Shaped[np.ndarray, "..."]]
# (this host's part of each batch, number of parts)
Share = tuple[int, int]
WHOLE = (0, 1)


def make_sample(
    record: Record,
    view: View,
    patch: Patch,
    packing: PackingConfig,
    encode: Encode,
    pad_to: int,
    rng: np.random.Generator,
    *,
    conditions: bool = True,
) -> Sample:
    """Build a training sample of a record: draw caption, clean prefix and condition.

    A mid-clip crop starts at time 1, like a window of a longer video, and its first
    frames are always given as clean tokens.
    """
    latents, extra = record.latents[view.start :], record.extra[view.start :]
    if not conditions:
        extra = extra[..., :0]
    grid = grid_of(latents.shape, patch)
    frames, per_frame = grid[0], grid[1] * grid[2]
    mid_clip = view.start > 0
    prefix = 0
    if frames > 1 and (mid_clip or rng.random() < packing.clean_prefix):
        prefix = int(rng.integers(1, frames))
    texts, starts = draw_captions(record, view, rng)
    if rng.random() < packing.caption_dropout:
        texts = [""] * len(texts)
    blocks = None
    if packing.causal and rng.random() < packing.causal:
        blocks = blocks_of(np.arange(frames) + mid_clip, packing)
    stretch_of_frame = np.searchsorted(starts, np.arange(frames), side="right") - 1
    return Sample(
        x=patchify(latents, patch),
        # The condition's channels would refer to frames that are cropped.
        extra=patchify(extra * (not mid_clip), patch),
        coords=coordinates(grid, start=1.0 if mid_clip else 0.0),
        clean=np.repeat(np.arange(frames) < prefix, per_frame),
        captions=np.stack([encode(text, pad_to) for text in texts]),
        caption_ids=np.repeat(stretch_of_frame, per_frame).astype(np.int32),
        blocks=None if blocks is None else np.repeat(blocks, per_frame),
    )


def blocks_of(
    times: Int[np.ndarray, " t"], packing: PackingConfig
) -> Int[np.ndarray, " t"]:
    """Return the block of each latent frame, counted from that of the first one.

    Args:
      times: of latent frames; time 0, a single frame of pixels, is a block alone.
      packing: length and number of blocks.
    """
    blocks = -(-times // packing.block)
    return np.minimum(blocks - blocks[0], packing.blocks - 1)


def draw_captions(
    record: Record, view: View, rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """Draw a caption of the whole clip, or one for each stretch in view."""

    def choose(texts: Sequence[str]) -> str:
        return texts[int(rng.integers(len(texts)))]

    if len(record.stretches) == 1 or (view.start == 0 and rng.random() < 0.5):
        return [choose(record.captions)], [0]
    starts = [max(0, start - view.start) for start, _ in record.stretches]
    # Skip stretches that end before the view begins.
    first = starts.count(0) - 1
    texts = [choose(texts) for _, texts in record.stretches[first:]]
    return texts, starts[first:]


@dataclasses.dataclass(frozen=True)
class BuildRow:
    """Builds a batch of one row from a planned row (picklable)."""

    records: Records
    views: Sequence[View]
    patch: Patch
    packing: PackingConfig
    encode: Encode
    pad_to: int
    # Whether the transformer has conditioning channels.
    conditions: bool = True

    def __call__(self, row: Sequence[int], rng: np.random.Generator) -> Batch:
        """Load and pack a row."""
        samples = [
            make_sample(
                self._draw(self.views[number].record, rng),
                self.views[number],
                self.patch,
                self.packing,
                self.encode,
                self.pad_to,
                rng,
                conditions=self.conditions,
            )
            for number in row
        ]
        packing = self.packing
        levels = packing.levels if packing.causal else None
        return pack_row(samples, packing.tokens, packing.samples, self.pad_to, levels)

    def _draw(self, number: int, rng: np.random.Generator) -> Record:
        """Read one of the encoded draws of a clip."""
        draws = self.records.draws(number)
        return self.records.read(number, int(rng.integers(draws)) if draws > 1 else 0)


class Rows:
    """Random access to planned rows: the views of each row."""

    def __init__(self, rows: Sequence[Sequence[int]]):
        """Keep the plan."""
        self._rows = rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, number: int) -> Sequence[int]:
        """Return a row's views."""
        return self._rows[number]

    def __repr__(self) -> str:
        """Describe the source, without its contents."""
        return f"Rows({len(self)})"


def batches(
    build: BuildRow,
    rows: Sequence[Sequence[int]],
    seed: int,
    share: Share = WHOLE,
    first: int = 0,
) -> grain.DatasetIterator:
    """Yield batches of planned rows forever, from that of step `first` + 1."""
    size = build.packing.rows
    return shuffled(Rows(rows), build, size, seed, share, join, first=first)


def shuffled(
    source: Any,  # Grain's protocol names the index otherwise than we do
    make: Callable[[Any, np.random.Generator], Any],
    batch: int,
    seed: int,
    share: Share = WHOLE,
    join: Callable[[Sequence[Any]], Any] | None = None,
    *,
    first: int = 0,
    workers: int = 0,
) -> grain.DatasetIterator:
    """Yield batches of a source forever, reshuffled in every epoch.

    A batch depends on seed and step alone, whatever the hosts and the workers.

    Args:
      source: random access.
      make: turns an element into a sample, with its own random generator.
      batch: elements in a step.
      seed: of order and generators.
      share: this host's part of a step.
      join: collates elements; stacks their arrays by default.
      first: steps to skip.
      workers: processes that make samples; 0 makes them in threads of this one.
    """
    # Seed before splitting by host, or all hosts would draw the same.
    dataset = grain.MapDataset.source(source).seed(seed).shuffle().random_map(make)
    part, parts = share
    mine = dataset.repeat(EPOCHS).batch(batch // parts, batch_fn=join)[part::parts]
    threads = grain.ReadOptions(num_threads=2)
    data = mine[first:].to_iter_dataset(threads)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain's workers read some
        options = grain.MultiprocessingOptions(num_workers=workers)
        data = data.mp_prefetch(options)
    return iter(data)


def join(rows: Sequence[Batch]) -> Batch:
    """Concatenate rows to a batch."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *rows)
