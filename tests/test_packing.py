"""Packing loses nothing, wastes little, and lays the samples side by side."""

import dataclasses

import numpy as np
import pytest

from sora_jax.config import DiTConfig, PackingConfig, PlaygroundConfig, VAEConfig
from sora_jax.data import packing as room
from sora_jax.data.packing import Sample, pack_row, plan_rows, statistics
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.data.planning import LatentSpec, latent_spec, plan_epoch
from sora_jax.data.sources.protocol import ClipSpec
from sora_jax.types import Caption
from sora_jax.worlds.playground.source import Playground


def test_the_playground_mixture_wastes_little():
    """Of clips that are planned from their specs, before any is encoded."""
    vae, packing = VAEConfig(), dataclasses.replace(PackingConfig(), mid_clip=0.0)
    source = Playground(PlaygroundConfig())
    specs = [
        latent_spec(source.spec(index), vae.time_factor, vae.space_factor)
        for index in range(3000)
    ]
    views, tokens, rows = plan_epoch(specs, DiTConfig().patch, packing, seed=0)
    assert len(views) == 3000
    captions = np.array([spec.stretches for spec in specs])
    assert sorted(i for row in rows for i in row) == list(range(3000))
    assert all(tokens[row].sum() <= packing.tokens for row in rows)
    assert all(captions[row].sum() <= packing.samples for row in rows)
    measured = statistics(rows, tokens, packing.tokens)
    assert measured["padding"] <= 0.05
    assert measured["masked_pairs"] <= 0.60


def test_a_spec_tells_what_its_clip_will_be_encoded():
    captions = [Caption(texts=("a",), start=0, stop=13)]
    captions += [Caption(texts=("b",), start=s, stop=s + 6) for s in (0, 7)]
    for said, stretches in ((captions, 2), (captions[:1], 1), ([], 1)):
        spec = ClipSpec(frames=13, height=32, width=48, fps=8.0, captions=tuple(said))
        assert latent_spec(spec, 4, 8) == LatentSpec(
            frames=4, height=4, width=6, stretches=stretches
        )
        assert latent_spec(spec, 2, 16).frames == 7


def test_a_sample_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="packing.tokens must be at least 300"):
        plan_rows(np.array([300]), np.array([1]), 288, 4, seed=0)


def test_patches_are_put_back():
    latents = np.random.default_rng(0).normal(size=(3, 4, 6, 5)).astype(np.float32)
    tokens = patchify(latents, (1, 2, 2))
    assert tokens.shape == (18, 20)
    np.testing.assert_array_equal(unpatchify(tokens, (3, 2, 3), (1, 2, 2)), latents)


def test_samples_lie_side_by_side():
    def sample(count, clean, captions):
        return Sample(
            x=np.full((count, 2), count, np.float32),
            extra=np.zeros((count, 0), np.float32),
            coords=coordinates((1, 1, count)),
            clean=np.arange(count) < clean,
            captions=np.full((captions, 4), count, np.int32),
            caption_ids=np.minimum(np.arange(count), captions - 1).astype(np.int32),
        )

    batch = pack_row([sample(3, 1, 2), sample(2, 0, 1)], 7, 4, 4)
    tokens = batch.tokens
    np.testing.assert_array_equal(tokens.segments[0], [1, 1, 1, 2, 2, 0, 0])
    np.testing.assert_array_equal(tokens.level_ids[0], [0, 1, 1, 2, 2, 0, 0])
    np.testing.assert_array_equal(tokens.target_mask[0], [0, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(batch.contexts["text"].ids[0], [1, 2, 2, 3, 3, 0, 0])
    np.testing.assert_array_equal(batch.contexts["text"].inputs[0, :, 0], [3, 3, 2, 0])


def test_blocks_have_levels_of_their_own_and_see_no_later_one():
    def sample(clean, blocks):
        count = len(blocks)
        return Sample(
            x=np.ones((count, 2), np.float32),
            extra=np.zeros((count, 0), np.float32),
            coords=coordinates((1, 1, count)),
            clean=np.arange(count) < clean,
            captions=np.ones((1, 4), np.int32),
            caption_ids=np.zeros(count, np.int32),
            blocks=np.array(blocks) if any(blocks) else None,
        )

    samples = [sample(1, [0, 1, 1]), sample(0, [0, 0]), sample(0, [0, 1])]
    tokens = pack_row(samples, 8, 3, 4, levels=10).tokens
    np.testing.assert_array_equal(tokens.level_ids[0], [0, 2, 2, 3, 3, 4, 5, 0])
    np.testing.assert_array_equal(tokens.order[0], [0, 1, 1, 0, 0, 0, 1, 0])
    assert tokens.levels.shape == (1, 10)


def test_what_no_other_sample_can_fill_waits_for_none(monkeypatch):
    waited = []
    best_fit = room.best_fit

    def watched(indices, *rest):
        waited.append(len(indices))
        return best_fit(indices, *rest)

    monkeypatch.setattr(room, "best_fit", watched)
    # Two of 75 leave room for none of 16, and six captions fill a row of 160 by half.
    lengths = np.array([75, 16] * 4000)
    rows = room.plan_rows(lengths, np.ones(8000, np.int64), 160, 6, seed=0)
    assert sorted(index for row in rows for index in row) == list(range(8000))
    assert max(waited) < 2 * room.WINDOW
