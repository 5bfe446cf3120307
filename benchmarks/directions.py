"""Whether a model reads directions: `python benchmarks/directions.py`, a minute.

True clips of one object that moves left or right are denoised with their caption, with
"left" and "right" exchanged in it, and with none. What the exchange costs, near to
noise where prompts decide, is what the model knows of directions: the mean of the
held-out loss hardly tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

import sora_jax
from sora_jax.config import PlaygroundConfig
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates, grid_of, patchify
from sora_jax.data.pipeline import join
from sora_jax.data.playground import Playground
from sora_jax.sampling.model import Model
from sora_jax.training.networks import Networks, flow_loss
from sora_jax.types import Batch

OPPOSITE = {"left": "right", "right": "left"}
LENGTH = 48  # pieces of a caption
SEEDS = 3  # of noise


def main(
    weights: tuple[str, ...] = ("",),
    clips: int = 48,
    levels: tuple[float, ...] = (0.7, 0.9, 0.97),
) -> None:
    """Print the losses.

    Args:
      weights: folders; by default the package's.
      clips: how many are denoised.
      levels: of noise, 1 is noise alone.
    """
    found = list(moving(clips))
    pixels = np.stack([clip for clip, *_ in found])
    print("| weights | noise | own caption | the opposite | none |")
    print("|---|---:|---:|---:|---:|")
    for folder in weights:
        model = sora_jax.load(folder) if folder else sora_jax.load()
        encode = nnx.jit(lambda vae, x: vae.encode(x)[0])
        latents = np.asarray(encode(model.weights.parts["vae"], jnp.asarray(pixels)))
        captions = [list(said) for said in zip(*found, strict=True)][1:]
        captions.append([""] * clips)
        batches = [batch(model, latents, said) for said in captions]
        for level in levels:
            losses = [mean_loss(model, one, level) for one in batches]
            cells = " | ".join(f"{loss:.3f}" for loss in losses)
            print(f"| {model.weights.config.name} | {level:g} | {cells} |", flush=True)


def moving(count: int) -> Iterator[tuple[np.ndarray, str, str]]:
    """Clips of the test split that move sideways, their captions, and the opposite."""
    world = Playground(
        PlaygroundConfig(
            split="test",
            frames=((17, 1.0),),
            sizes=(((64, 64), 1.0),),
            kinds=(("one", 1.0),),
        )
    )
    number = 0
    while count:
        stretch = world.scene(number).stretches[0]
        body = stretch.bodies[0]
        steady = stretch.camera == "still" and stretch.light == "steady"
        if body.motion in OPPOSITE and steady:
            said = [
                f"a {body.size} {body.colour} {body.shape} moves {direction}, "
                f"{stretch.background}"
                for direction in (body.motion, OPPOSITE[body.motion])
            ]
            yield world[number].clip.pixels, said[0], said[1]
            count -= 1
        number += 1


def batch(model: Model, latents: np.ndarray, captions: list[str]) -> Batch:
    """One row for each clip."""
    dit, tokenizer = model.weights.config.dit, model.weights.tokenizer
    grid = grid_of(latents.shape[1:], dit.patch)
    tokens = int(np.prod(grid))

    def row(clip: np.ndarray, caption: str) -> Batch:
        sample = Sample(
            x=patchify(clip, dit.patch),
            extra=np.zeros((tokens, dit.extra_features), np.float32),
            coords=coordinates(grid, start=0.0),
            clean=np.zeros(tokens, bool),
            captions=tokenizer.encode(caption, LENGTH)[None],
            caption_ids=np.zeros(tokens, np.int32),
        )
        return pack_row([sample], tokens, 1, LENGTH)

    return join([row(*pair) for pair in zip(latents, captions, strict=True)])


def mean_loss(model: Model, one: Batch, level: float) -> float:
    """The loss of all clips at one level of noise, over a few seeds."""
    parts = model.weights.parts
    networks = (parts["dit"], parts["text_encoder"])
    # The level of clean tokens, which there are none of, comes first.
    levels = jnp.full_like(one.tokens.levels, level).at[:, 0].set(0.0)
    keys = map(jax.random.key, range(SEEDS))
    return float(np.mean([loss(networks, one, levels, key) for key in keys]))


@nnx.jit
def loss(networks: tuple, one: Batch, levels: jax.Array, key: jax.Array) -> jax.Array:
    """The loss with one draw of noise."""
    return flow_loss(Networks(*networks), one, levels, key)


if __name__ == "__main__":
    tyro.cli(main)
