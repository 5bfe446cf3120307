"""Recipes make the reference's videos, its transformer driven by hand."""

import json

import numpy as np
import torch
from diffusers.models.transformers import transformer_wan

from sora_jax.config import RECIPES, recipe_settings
from sora_jax.data.patches import grid_of, unpatchify
from sora_jax.sampling import blocks, denoising
from sora_jax.sampling.opening import load
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.window_sampler import WindowSampler
from tests.parity import reference
from tests.parity.conftest import save
from tests.parity.reference import PROMPT, psnr

SHAPE = {"frames": 9, "size": (32, 64)}


def noises_of(model, settings, latents=None, number=0):
    """What our sampler draws: the initial latents, and those after each step."""
    request = Request(prompts=(PROMPT,), settings=settings, seed=5)
    shape, patch = request.latent_shape(model.config), model.config.dit.patch
    shape = (latents or shape[0], *shape[1:])
    grid = grid_of(shape, patch)
    rows = int(np.prod(grid)), model.config.dit.patch_features
    for step in (None, *range(settings.steps)):
        drawn = denoising.draw_noise(request, number, rows, step)[0]
        drawn = np.moveaxis(np.asarray(unpatchify(drawn, grid, patch)), -1, 0)
        yield torch.tensor(drawn[None].copy())


@torch.no_grad()
def by_hand(pipeline, loop, times, noises):
    """Loops E and R; no guidance."""
    states, _ = pipeline.encode_prompt(
        PROMPT, do_classifier_free_guidance=False, max_sequence_length=512
    )
    boundary = 1000 * (pipeline.config.boundary_ratio or 0)
    x = next(noises) * times[0] / 1000
    for time, after in zip(times, [*times[1:], 0.0], strict=True):
        network = pipeline.transformer if time >= boundary else pipeline.transformer_2
        v = network(x, torch.tensor([time]), states, return_dict=False)[0]
        if loop == "euler":
            x = x + (after - time) / 1000 * v
        else:
            data, fresh = x - time / 1000 * v, next(noises)
            x = (1 - after / 1000) * data + after / 1000 * fresh
    vae = pipeline.vae.config
    mean, std = (
        torch.tensor(x).view(1, -1, 1, 1, 1)
        for x in (vae.latents_mean, vae.latents_std)
    )
    clip = pipeline.vae.decode(x * std + mean, return_dict=False)[0]
    return np.moveaxis(clip.numpy(), 1, -1)


def masked(attend, visible):
    """Attention of the reference, of its tokens among one another by a mask."""

    def among(query, key, value, **options):
        if key.shape[1] == len(visible):
            options["attn_mask"] = visible
        return attend(query, key, value, **options)

    return among


@torch.no_grad()
def in_blocks(pipeline, times, noises, monkeypatch):
    """Loop R block by block, each step one pass over clean past and noisy block."""
    states, _ = pipeline.encode_prompt(
        PROMPT, do_classifier_free_guidance=False, max_sequence_length=512
    )
    past, size = [], 8  # tokens of a frame
    attend = transformer_wan.dispatch_attention_fn
    for number in range(2):
        block = np.repeat(np.arange(number + 1), 3 * size)
        visible = torch.tensor(block[None] <= block[:, None])
        network = masked(attend, visible)
        monkeypatch.setattr(transformer_wan, "dispatch_attention_fn", network)
        x = next(noises)
        for time, after in zip(times, [*times[1:], 0.0], strict=True):
            seen = torch.tensor(np.where(block < number, 0.0, time)[None])
            frames = torch.cat([*past, x], dim=2)
            v = pipeline.transformer(frames, seen, states, return_dict=False)[0]
            data = x - time / 1000 * v[:, :, -3:]
            x = (1 - after / 1000) * data + after / 1000 * next(noises)
        past.append(x)
    return torch.cat(past, dim=2)


def test_causal_blocks(tokenizer, tmp_path_factory, monkeypatch):
    folder = save("t2v", tokenizer, tmp_path_factory)
    pipeline = reference.WanPipeline.from_pretrained(folder)
    path = folder / "transformer" / "config.json"
    told = json.loads(path.read_text()) | {"causal": {"block": 3, "window": 21}}
    path.write_text(json.dumps(told))
    model = load(folder)
    shape = {"frames": 21, "size": (32, 64)}
    settings = model.config.sampling.asked(**shape)
    assert settings.sigmas == RECIPES["self_forcing"].sigmas
    request = Request(prompts=(PROMPT,), settings=settings, seed=5)
    sampler = WindowSampler(model.weights, PromptCache(model.weights), request)
    made = np.concatenate(list(blocks.latent_blocks(sampler)), axis=1)
    noises = (
        drawn
        for number in range(2)
        for drawn in noises_of(model, settings, latents=3, number=number)
    )
    times = (1000 * sampler.table.times).tolist()
    theirs = in_blocks(pipeline, times, noises, monkeypatch)
    theirs = np.moveaxis(theirs.numpy(), 1, -1)
    np.testing.assert_allclose(made, theirs, rtol=1e-4, atol=1e-4)


def test_recipes(folder):
    model = load(folder)
    pipeline = reference.WanPipeline.from_pretrained(folder)
    for name in ("lightx2v", "fastwan", "rcm"):
        settings = model.config.sampling.asked(**recipe_settings(name), **SHAPE)
        made = model.generate(PROMPT, recipe=name, seed=5, **SHAPE)
        recipe = RECIPES[name]
        u = np.array(recipe.sigmas)
        times = 1000 * recipe.shift * u / (1 + (recipe.shift - 1) * u)
        noises = noises_of(model, settings)
        theirs = by_hand(pipeline, recipe.solver, times.tolist(), noises)
        assert np.std(theirs) > 0.05
        assert psnr((made + 1) / 2, (theirs.clip(-1, 1) + 1) / 2) > 50
