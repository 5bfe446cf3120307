"""The README's pictures, made by the default model: `python docs/gallery.py`.

`videos.gif` shows the first short prompts of single objects in the test split, whose
combinations of colour, shape and motion training never saw. The others show each
operation on the first clip of that split which suits it: what is given on the left,
ungiven pixels grey, and what comes of it on the right. Nothing is picked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

import sora_jax
from sora_jax import runtime
from sora_jax.config import PlaygroundConfig
from sora_jax.data import outputs
from sora_jax.data.video import fit, to_uint8
from sora_jax.diffusion import conditioning
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Keyframe, Stretch
from sora_jax.training.report import tile
from sora_jax.worlds.playground.judge.cases.regions import box_of
from sora_jax.worlds.playground.source import Playground, RenderedSample

OUT = str(Path(__file__).with_name("gallery"))
# What is given and what is made, of one length and size.
Pair = tuple[np.ndarray, np.ndarray]


def source(frames: int, kind: str = "one") -> Playground:
    """Clips of the test split."""
    return Playground(
        PlaygroundConfig(
            split="test",
            frames=((frames, 1.0),),
            sizes=(((64, 64), 1.0),),
            kinds=((kind, 1.0),),
        )
    )


def prompts(count: int) -> list[str]:
    """Captions of the first clips that fit on one line."""
    world = source(17)
    texts = (world.captions(index)[1] for index in range(len(world)))
    short = (text for text in texts if len(text) < 60)
    return [next(short) for _ in range(count)]


def amid_grey(clip: np.ndarray, frames: int, first: int = 0) -> np.ndarray:
    """A clip among so many frames, from `first` on; the others are grey."""
    canvas = np.zeros((frames, *clip.shape[1:]), np.float32)
    canvas[first : first + len(clip)] = clip
    return canvas


def moving(motion: str) -> RenderedSample:
    """The first clip of 33 frames whose only object moves so, before a still camera."""
    world = source(33)
    for index in range(len(world)):
        (stretch,) = world.scene(index).stretches
        is_plain = stretch.camera == "still" and stretch.light == "steady"
        if is_plain and stretch.bodies[0].motion == motion:
            return world[index]
    raise ValueError(f"no clip moves {motion!r}")


def animate(model: Model) -> Pair:
    """A first and a last picture."""
    sample = moving("right")
    clip, text = sample.clip.pixels[:17], sample.clip.caption
    keys = [Keyframe(picture=clip[:1]), Keyframe(picture=clip[-1:], frame=-1)]
    given = amid_grey(clip[:1], 17) + amid_grey(clip[-1:], 17, 16)
    return given, model.animate(keys, text, frames=17)


def extend(model: Model) -> Pair:
    """Forward by as much again."""
    sample = moving("right")
    clip = sample.clip.pixels[:17]
    return amid_grey(clip, 33), model.extend(clip, sample.clip.caption, frames=16)


def extend_backward(model: Model) -> Pair:
    """What was before."""
    sample = moving("down")
    clip = sample.clip.pixels[17:]
    made = model.extend(clip, sample.clip.caption, frames=16, direction="backward")
    return amid_grey(clip, 32, 16), made


def loop(model: Model) -> Pair:
    """A clip that comes back to its beginning, twice."""
    sample = moving("left")
    clip = sample.clip.pixels[:17]
    made = model.loop(clip, sample.clip.caption, frames=11)
    return np.tile(amid_grey(clip, 28), (2, 1, 1, 1)), np.tile(made, (2, 1, 1, 1))


def connect(model: Model) -> Pair:
    """The beginning and the end of a clip."""
    sample = moving("up")
    first, second = sample.clip.pixels[:13], sample.clip.pixels[21:]
    made = model.connect(first, second, sample.clip.caption, frames=8)
    return amid_grey(first, 33) + amid_grey(second, 33, 21), made


def edit(model: Model) -> Pair:
    """Another colour, the same way."""
    sample = moving("left")
    clip, body = sample.clip.pixels[:17], sample.scene.stretches[0].bodies[0]
    place = sample.scene.stretches[0].background
    colour = "red" if body.colour != "red" else "blue"
    text = f"a {colour} {body.shape} moves left, {place}"
    return clip, model.edit(clip, text, strength=0.5)


def inpaint(model: Model) -> Pair:
    """Where the object is."""
    sample = moving("still")
    clip = sample.clip.pixels[:17]
    mask = conditioning.outside_box_mask(17, 64, 64, box_of(sample.scene))
    given = conditioning.grey_out(clip, mask).pixels
    return given, model.inpaint(clip, 1 - mask, sample.clip.caption)


def outpaint(model: Model) -> Pair:
    """From 48 by 48 pixels to 64 by 64."""
    sample = moving("circle")
    mask = conditioning.inside_box_mask(17, 64, 64, (8, 8, 56, 56))
    given = conditioning.grey_out(sample.clip.pixels[:17], mask).pixels
    clip = given[:, 8:56, 8:56]
    return given, model.outpaint(clip, sample.clip.caption, size=(64, 64))


def insert(model: Model) -> Pair:
    """A second in the middle."""
    sample = moving("right")
    clip = sample.clip.pixels[:17]
    made = model.insert(clip, sample.clip.caption, span=[(1.0, 2.0)])
    return amid_grey(clip[:8], len(made)) + amid_grey(clip[8:], len(made), 16), made


def remove(model: Model) -> Pair:
    """A second taken out, and bridged."""
    sample = moving("right")
    clip = sample.clip.pixels
    made = model.remove(clip, sample.clip.caption, span=[(1.5, 2.5)])
    return clip, amid_grey(made, len(clip))


def storyboard(model: Model) -> Pair:
    """Two shots, the first of two stretches."""
    shots = [
        Stretch(frame=0, prompt="a red ball moves right on a green floor"),
        Stretch(frame=13, prompt="a red ball moves left on a green floor"),
        Stretch(frame=25, prompt="a big blue star spins, grey stripes", cut=True),
    ]
    made = model.storyboard(shots, frames=41)
    return np.zeros_like(made), made


def upscale(model: Model) -> Pair:
    """Refined at twice the size."""
    sample = moving("still")
    clip = sample.clip.pixels[:17]
    made = model.upscale(clip, sample.clip.caption, size=(128, 128))
    return fit(clip, 128, 128), made


OPERATIONS: dict[str, Callable[[Model], Pair]] = {
    function.__name__: function
    for function in (
        animate,
        extend,
        extend_backward,
        loop,
        connect,
        edit,
        inpaint,
        outpaint,
        insert,
        remove,
        storyboard,
        upscale,
    )
}


def main(weights: str | None = None, out: str = OUT) -> None:
    """Make the pictures.

    Args:
      weights: a folder of weights; by default those that ship with the package.
      out: a folder; a taken name is given a number (so delete the README's first).
    """
    folder = Path(out)
    outputs.check_folder(folder / "videos.gif", field="--out")
    runtime.enable_compilation_cache()
    model = sora_jax.load(weights) if weights else sora_jax.load()
    fps, asked = model.config.sampling.fps, prompts(8)
    videos = model.generate(asked, frames=17)
    print(outputs.write(folder / "videos.gif", [tile(to_uint8(videos))], fps))
    print(*asked, sep="\n")
    for name, operation in OPERATIONS.items():
        pair = np.concatenate(operation(model), axis=2)
        print(outputs.write(folder / f"{name}.gif", [to_uint8(pair)], fps))


if __name__ == "__main__":
    tyro.cli(main)
