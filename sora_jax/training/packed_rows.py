"""Packed rows of encoded clips, for training and evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sora_jax.config import DiTRun, PackingConfig
from sora_jax.data import pipeline, planning
from sora_jax.data.packing import plan_rows
from sora_jax.data.records import Records
from sora_jax.training.latents import Latents
from sora_jax.types import Batch


def row_builder(
    config: DiTRun,
    latents: Latents,
    records: Records,
    views: Sequence[planning.View],
    packing: PackingConfig,
) -> pipeline.BuildRow:
    """Return the builder of batches of one planned row."""
    return pipeline.BuildRow(
        records,
        views,
        config.dit.patch,
        packing,
        latents.encode,
        config.text.pad_to,
        conditions=config.dit.extra_channels > 0,
    )


def held_out_batches(config: DiTRun, latents: Latents) -> dict[str, Batch]:
    """Build a batch of the test split for each clip shape.

    It is equal for runs with equal clips and packing.
    """
    records = latents.held_out
    packing = dataclasses.replace(
        config.packing, clean_prefix=0.0, mid_clip=0.0, caption_dropout=0.0, causal=0.0
    )
    views = planning.plan_views(records.index, 0.0, 0)
    tokens = planning.view_tokens(records.index, views, config.dit.patch)
    build = row_builder(config, latents, records, views, packing)
    groups: dict[str, list[int]] = {}
    for number, spec in enumerate(records.index):
        name = f"{spec.frames}x{spec.height}x{spec.width}"
        if tokens[number] <= packing.tokens:
            groups.setdefault(name, []).append(number)
    stretches = np.array([spec.stretches for spec in records.index])
    batches = {}
    for name, members in groups.items():
        chosen = np.array(members)
        plan = plan_rows(
            tokens[chosen], stretches[chosen], packing.tokens, packing.samples, 0
        )
        # A rare shape fills the batch by repetition: one program serves every shape.
        rows = [
            build(
                chosen[plan[i % len(plan)]].tolist(),
                np.random.default_rng(i),
            )
            for i in range(packing.rows)
        ]
        batches[name] = pipeline.join(rows)
    return batches
