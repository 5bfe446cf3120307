"""The README's picture, made by the default model: `python docs/gallery.py`.

The prompts describe combinations of colour, shape and motion that training never saw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

import sora_jax
from sora_jax import runtime
from sora_jax.config import PlaygroundConfig
from sora_jax.data import outputs, playground
from sora_jax.data.video import to_uint8
from sora_jax.training.report import tile

OUT = str(Path(__file__).with_name("gallery.gif"))


def prompts(count: int) -> list[str]:
    """Captions of the test split's first clips that fit on one line."""
    world = playground.Playground(
        PlaygroundConfig(split="test", frames=((17, 1.0),), kinds=(("one", 1.0),))
    )
    texts = (world.captions(index)[1] for index in range(len(world)))
    short = (text for text in texts if len(text) < 60)
    return [next(short) for _ in range(count)]


def main(
    weights: str | None = None, count: int = 8, zoom: int = 1, out: str = OUT
) -> None:
    """Make `count` videos and lay them side by side, four in a row.

    Args:
      weights: a folder of weights; by default those that ship with the package.
      count: videos; a multiple of four.
      zoom: each pixel is repeated so often along both axes.
      out: the picture; a taken name is given a number (so delete the README's first).
    """
    if count < 4 or count % 4 or zoom < 1:
        raise SystemExit(
            f"--count must be a multiple of 4 and --zoom >= 1, got {count} and {zoom}"
        )
    outputs.check_output(out)
    runtime.enable_compilation_cache()
    model = sora_jax.load(weights) if weights else sora_jax.load()
    asked = prompts(count)
    videos = model.generate(asked, frames=17)
    grid = tile(to_uint8(np.asarray(videos))).repeat(zoom, axis=1).repeat(zoom, axis=2)
    path = outputs.write(out, [grid], model.config.sampling.fps)
    print(path, *asked, sep="\n")


if __name__ == "__main__":
    tyro.cli(main)
