"""Packed rows of random samples, for any DiT run."""

import numpy as np

from sora_jax.config import DiTRun
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates
from sora_jax.data.pipeline import join

SHAPES = ((3, 2, 2), (1, 4, 4), (2, 3, 2), (5, 2, 2))  # of packed samples


def packed(run: DiTRun):
    """Rows of samples of several shapes, with padding."""
    rng = np.random.default_rng(0)

    def sample(grid):
        count, text = int(np.prod(grid)), run.text.pad_to
        vocabulary = run.text.vocabulary
        return Sample(
            x=rng.normal(size=(count, run.dit.patch_features)).astype(np.float32),
            extra=rng.normal(size=(count, run.dit.extra_features)).astype(np.float32),
            coords=coordinates(grid),
            clean=np.arange(count) < count // 4,
            captions=rng.integers(3, vocabulary, (1, text), np.int32),
            caption_ids=np.zeros(count, np.int32),
        )

    room = run.packing
    rows = [
        pack_row(
            [sample(SHAPES[(i + j) % len(SHAPES)]) for j in range(2)],
            room.tokens,
            room.samples,
            run.text.pad_to,
        )
        for i in range(room.rows)
    ]
    return join(rows)
