"""Whether a model reads directions and order: `python benchmarks/directions.py`.

True clips are denoised with their caption, with another one that says the opposite, and
with none: of one object, which moves left or right, with these words exchanged; of two,
one left of or above the other, with the objects exchanged. What the exchange costs,
near to noise where prompts decide, is what the model knows of these words: the mean of
the held-out loss hardly tells. It takes two minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from sora_jax.sampling.model import Model
from sora_jax.training.objectives.flow_matching import loss_at
from sora_jax.types import Batch
from sora_jax.worlds.playground.source import Playground
from sora_jax.worlds.playground.world import Body, SceneStretch

OPPOSITE = {"left": "right", "right": "left"}
SEEDS = 3  # of noise
Case = tuple[np.ndarray, str, str]  # a clip, its caption, and the opposite


def main(
    weights: tuple[str, ...] = ("",),
    clips: int = 48,
    levels: tuple[float, ...] = (0.7, 0.9, 0.97),
) -> None:
    """Print the losses.

    Args:
      weights: folders; by default the package's.
      clips: how many are denoised, at least one.
      levels: of noise, 1 is noise alone.
    """
    if clips < 1:
        raise ValueError(f"--clips must be >= 1, got {clips}")
    questions = {"moves": ("one", moving), "order": ("two", placed)}
    asked = {name: list(found(clips, *how)) for name, how in questions.items()}
    print("| weights | what | noise | own caption | the opposite | none |")
    print("|---|---|---:|---:|---:|---:|")
    for folder in weights:
        model = sora_jax.load(folder) if folder else sora_jax.load()
        for name, cases in asked.items():
            batches = batches_of(model, cases)
            for level in levels:
                losses = [mean_loss(model, one, level) for one in batches]
                cells = " | ".join(f"{loss:.3f}" for loss in losses)
                about = f"{model.config.name} | {name} | {level:g}"
                print(f"| {about} | {cells} |", flush=True)


def found(count: int, kind: str, say: Callable) -> Iterator[Case]:
    """Clips of the test split of which something can be said, and the opposite."""
    world = Playground(
        PlaygroundConfig(
            split="test",
            frames=((17, 1.0),),
            sizes=(((64, 64), 1.0),),
            kinds=((kind, 1.0),),
        )
    )
    number = 0
    while count:
        stretch = world.scene(number).stretches[0]
        is_steady = stretch.camera == "still" and stretch.light == "steady"
        if is_steady and (said := say(stretch)):
            yield world[number].clip.pixels, *said
            count -= 1
        number += 1


def moving(stretch: SceneStretch) -> tuple[str, str] | None:
    """Say which way an object moves, if sideways, and the other way."""
    body = stretch.bodies[0]
    if body.motion not in OPPOSITE:
        return None
    says = "{} moves {}, {}".format
    return (
        says(named(body), body.motion, stretch.background),
        says(named(body), OPPOSITE[body.motion], stretch.background),
    )


def placed(stretch: SceneStretch) -> tuple[str, str]:
    """Say how two objects stand, and the same of each other's places."""
    first, second = map(named, stretch.bodies)
    says = "{} {} {}, {}".format
    return (
        says(first, stretch.relation, second, stretch.background),
        says(second, stretch.relation, first, stretch.background),
    )


def named(body: Body) -> str:
    """What an object looks like."""
    return f"a {body.size} {body.colour} {body.shape}"


def batches_of(model: Model, cases: list[Case]) -> list[Batch]:
    """The clips with each of their captions, and with none."""
    pixels, *captions = map(list, zip(*cases, strict=True))
    encode = nnx.jit(lambda vae, x: vae.encode(x)[0])
    clips = jnp.asarray(np.stack(pixels))
    latents = np.asarray(encode(model.weights.networks["vae"], clips))
    captions.append([""] * len(cases))
    return [batch(model, latents, said) for said in captions]


def batch(model: Model, latents: np.ndarray, captions: list[str]) -> Batch:
    """One row for each clip."""
    dit, tokenizer = model.config.dit, model.weights.tokenizer
    length = model.config.text.pad_to  # pieces of a caption
    grid = grid_of(latents.shape[1:], dit.patch)
    tokens = int(np.prod(grid))

    def row(clip: np.ndarray, caption: str) -> Batch:
        sample = Sample(
            x=patchify(clip, dit.patch),
            extra=np.zeros((tokens, dit.extra_features), np.float32),
            coords=coordinates(grid, start=0.0),
            clean=np.zeros(tokens, bool),
            captions=tokenizer.encode(caption, length)[None],
            caption_ids=np.zeros(tokens, np.int32),
        )
        return pack_row([sample], tokens, 1, length)

    return join([row(*pair) for pair in zip(latents, captions, strict=True)])


def mean_loss(model: Model, one: Batch, level: float) -> float:
    """The loss of all clips at one level of noise, over a few seeds."""
    parts = model.weights.networks
    networks = {name: parts[name] for name in ("dit", "text_encoder")}
    # The level of clean tokens, which there are none of, comes first.
    levels = jnp.full_like(one.tokens.levels, level).at[:, 0].set(0.0)
    keys = map(jax.random.key, range(SEEDS))
    return float(np.mean([loss(networks, one, levels, key) for key in keys]))


@nnx.jit
def loss(networks: dict, one: Batch, levels: jax.Array, key: jax.Array) -> jax.Array:
    """The loss with one draw of noise."""
    return loss_at(networks, one, levels, key)


if __name__ == "__main__":
    tyro.cli(main)
