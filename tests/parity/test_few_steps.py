"""Recipes make the reference's videos, its transformer driven by hand."""

import numpy as np
import torch

from sora_jax.config import RECIPES, recipe_settings
from sora_jax.data.patches import grid_of, unpatchify
from sora_jax.sampling import denoising
from sora_jax.sampling.opening import load
from sora_jax.sampling.request import Request
from tests.parity import reference
from tests.parity.reference import PROMPT, psnr

SHAPE = {"frames": 9, "size": (32, 64)}


def noises_of(model, settings):
    """What our sampler draws: the initial latents, and those after each step."""
    request = Request(prompts=(PROMPT,), settings=settings, seed=5)
    shape, patch = request.latent_shape(model.config), model.config.dit.patch
    grid = grid_of(shape, patch)
    rows = int(np.prod(grid)), model.config.dit.patch_features
    for step in (None, *range(settings.steps)):
        drawn = denoising.draw_noise(request, 0, rows, step)[0]
        latents = np.moveaxis(np.asarray(unpatchify(drawn, grid, patch)), -1, 0)
        yield torch.tensor(latents[None].copy())


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
