"""Frames refined in tiles are as if they were refined whole."""

import dataclasses
import json
import re
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import sora_jax
from sora_jax.models.dit import DiT
from sora_jax.sampling import command, flags, job
from sora_jax.sampling.blending import tile_grid
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.segments import Sampled
from sora_jax.sampling.tiled_sampler import TiledSampler
from sora_jax.sampling.window_sampler import no_progress
from sora_jax.weights.model_weights import weights_in_memory
from tests.helpers import tiny_wan
from tests.helpers.tiny import make
from tests.helpers.worlds import PROMPT

SIZE, TILE = (64, 96), (48, 64)


class Local(DiT):
    """What it predicts for a token depends on nothing else, so tiles miss nothing.

    With a share of `mean`, tiles disagree.
    """

    traced: ClassVar[list] = []

    def __init__(self, mean=0.0):
        self.mean = nnx.Param(jnp.float32(mean))

    def project_contexts(self, contexts, mesh_plan):
        """Project nothing."""
        del contexts, mesh_plan
        return {}

    def __call__(self, tokens, contexts, memory, mesh_plan, cache=None):
        """A velocity of the token, its time, and the mean of the tile."""
        del contexts, memory, mesh_plan, cache
        self.traced.append(tokens.x.shape)
        time = tokens.levels[:, 1][:, None, None]
        local = jnp.sin(3 * tokens.x) + time
        mean = tokens.x.mean((1, 2), keepdims=True)
        return (1 - self.mean[...]) * local + self.mean[...] * mean


def weights_of(world, dit):
    """The world's model with another transformer."""
    parts = {"vae": world.vae, "dit": dit, "text_encoder": world.text_encoder}
    return weights_in_memory(world.config, world.tokenizer, **parts)


@pytest.fixture(scope="module")
def local(world):
    return Model(weights_of(world, Local()))


@pytest.fixture(scope="module")
def large(world):
    """A clip in the size that is asked for, and a request without tiles."""
    clip = np.tile(world.clip, (1, 2, 3, 1))
    settings = dataclasses.replace(
        world.config.sampling, size=SIZE, steps=4, solver="unipc", refine_tile=TILE
    )
    return Request(
        prompts=(PROMPT,),
        settings=settings,
        source=clip[:9],
        strength=0.5,
        seed=3,
    ), clip


def made(model, request, **changes):
    """The frames of a request."""
    request = dataclasses.replace(request, **changes)
    stop = request.settings.frames
    chunks = model.sample([Sampled(request=request, stop=stop)])
    return np.concatenate(list(chunks), axis=1)


def test_weights_of_tiles_sum_to_one():
    for shape, tile, overlap in (
        ((21, 136, 240), (21, 60, 104), 0.25),
        ((5, 8, 12), (3, 6, 12), 0.5),
        ((9, 30, 4), (4, 6, 8), 0.75),
        ((1, 17, 9), (1, 4, 4), 0),
    ):
        total = np.zeros(shape)
        grid = tile_grid(shape, tile, overlap)
        for where, weights in grid:
            assert weights.shape == tuple(map(min, shape, tile))
            total[where] += weights
        np.testing.assert_allclose(total, 1, rtol=1e-6)
        for starts, length in zip(grid.starts, map(min, shape, tile), strict=True):
            assert max(np.diff(starts), default=0) <= length * (1 - overlap)
    assert len(tile_grid((21, 136, 240), (21, 60, 104), 0.25, (1, 2, 2))) == 9


def test_tiles_make_what_a_whole_frame_makes(local, large):
    request, _ = large
    whole = made(local, request)
    Local.traced.clear()
    tiled = made(local, request, tile=TILE)
    assert Local.traced == [(1, 36, 16)]  # one program for all tiles
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert np.abs(whole - made(local, request, seed=4)).max() > 0.01
    renoise = dataclasses.replace(request.settings, solver="renoise")
    again = [made(local, request, settings=renoise, tile=x) for x in (None, TILE)]
    np.testing.assert_allclose(again[1], again[0], atol=1e-5)


def test_windows_of_tiles_make_what_one_window_makes(local, large):
    request, clip = large
    noise = np.random.default_rng(0).normal(size=(1, 6, 8, 12, 4)).astype(np.float32)
    long = dataclasses.replace(request.settings, frames=21, solver="euler")
    at_once = dataclasses.replace(long, window=21)
    story = ((8, "a blue square"),)
    given = {"source": clip[:21], "noise": noise, "story": story}
    whole = made(local, request, settings=at_once, **given)
    tiled = made(local, request, settings=long, tile=TILE, **given)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_one_tile_is_the_plain_edit(world, large):
    request, _ = large
    model = Model(weights_of(world, make(DiT, world.config.dit)))
    settings = dataclasses.replace(request.settings, size=(32, 32), guidance=4.0)
    story = ((4, "a blue square"),)
    small = {"settings": settings, "source": world.clip[:9], "story": story}
    plain = made(model, request, **small)
    np.testing.assert_allclose(
        made(model, request, tile=(32, 32), **small), plain, atol=1e-5
    )


def test_where_tiles_disagree_no_seam_is_seen(world, large):
    request, _ = large
    weights = weights_of(world, Local(mean=1.0))
    request = dataclasses.replace(request, tile=TILE)
    sampler = TiledSampler(weights, PromptCache(weights), request, no_progress)
    x = np.broadcast_to(np.linspace(0, 1, 12)[:, None], (1, 3, 8, 12, 4))
    velocity = sampler.velocity(x.astype(np.float32), 0)[0, 0]
    apart = velocity[0, -1, 0] - velocity[0, 0, 0]
    assert apart > 0.3 and sampler.grid.starts[2] == (0, 4)
    # The ramp between them is as long as they overlap.
    steps = np.diff(velocity[0, :, 0])
    np.testing.assert_allclose(steps[3:8], apart / 5, rtol=1e-4)
    np.testing.assert_allclose([*steps[:3], *steps[8:]], 0, atol=1e-6)


def asked(folder, out, **fields):
    """A command of `sample.py`, prepared."""
    given = {"prompt": "a red ball", "steps": 2, "seed": 1, "frames": 5, **fields}
    return job.prepare(flags.SampleFlags(weights=str(folder), out=str(out), **given))


def test_a_draft_is_written_and_then_refined(folder, tmp_path):
    prepared = asked(
        folder, tmp_path / "a.npy", refine="96x64", refine_fps=16, refine_strength=0.5
    )
    assert prepared.summary.endswith("strength 0.5 in tiles of 32x32")
    draft, refined = command.run(prepared, no_progress)
    assert (draft, refined) == tuple(
        str(tmp_path / name) for name in ("a.npy", "a-96x64.npy")
    )
    small, large = np.load(draft), np.load(refined)
    assert large.shape == (10, 64, 96, 3)
    (plain,) = command.run(asked(folder, tmp_path / "b.npy"), no_progress)
    np.testing.assert_array_equal(np.load(plain), small)
    again = sora_jax.load(folder).upscale(
        2 * small - 1,
        "a red ball",
        size=(64, 96),
        fps=16,
        video_fps=prepared.settings.fps,
        steps=2,
        strength=0.5,
        seed=1,
    )
    np.testing.assert_allclose(2 * large - 1, again, atol=1e-5)
    record = json.loads((tmp_path / "a-96x64.npy.json").read_text())
    assert record["draft"] == draft and record["refine_tile"] == [32, 32]
    assert record["frames"] == 10 and record["refine_strength"] == 0.5


def test_what_cannot_be_refined_is_refused(folder, tmp_path):
    for fields, problem in (
        ({"refine": "90x64"}, "--refine: width must be a multiple of 16, got 90"),
        ({"refine": "big"}, "--refine must be WIDTHxHEIGHT"),
        ({"refine": "32x16"}, "--refine must be larger than 32x32"),
        (
            {"refine": "64x64", "refine_strength": 2.0},
            "--refine-strength must be from 0",
        ),
        ({"refine": "64x64", "refine_fps": -1.0}, "--refine-fps must be"),
        ({"refine": "64x64", "refine_tile": "40x40"}, "--refine-tile: height must be"),
        ({"refine_tile": "64x64"}, "--refine-tile does nothing without --refine or"),
        ({"refine_strength": 0.3}, "--refine-strength does nothing without --refine:"),
        ({"refine": "64x64", "refine_overlap": 0.9}, "--refine-overlap must be from 0"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(problem)):
            asked(folder, tmp_path / "a.npy", **fields)


def test_a_control_branch_reads_that_nothing_is_given(tiny, world):
    model = Model(tiny_wan.controls(tiny))
    settings = dataclasses.replace(model.config.sampling, guidance=3.0)
    request = Request(settings=settings, source=world.clip[:5], strength=0.7)
    plain = made(model, request)
    tiled = made(model, request, tile=settings.size)
    np.testing.assert_allclose(tiled, plain, atol=1e-5)
