"""Tasks that make whole frames beside known ones: before, after and between them.

The model gets frames of the world's own clip and makes the others, so that the clip
itself is what a perfect model would return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sora_jax.evals import clips, findings
from sora_jax.evals.findings import Finding
from sora_jax.evals.operated import Case, Clip, Model, Task, idle
from sora_jax.sampling.tasks.keyframes import Keyframe
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.source import Sample

SHORT, LONG = 17, 33  # frames; the model's own lengths
_FACTS = {name: name for name in ("colour", "shape", "motion")}


def case(
    index: int,
    sample: Sample,
    known: Iterable[int],
    make: Callable[..., np.ndarray] | None,
    look: Callable[[np.ndarray], list[Finding]],
) -> Case:
    """A case of which some whole frames are known, and a clip that is the truth."""
    pixels = sample.clip.pixels
    mask = frames_of(pixels, known)
    return Case(
        index=index,
        prompt=sample.clip.caption,
        make=make,
        look=look,
        truth=pixels,
        known=mask,
        idle=idle(pixels, mask),
    )


def frames_of(pixels: Clip, known: Iterable[int]) -> np.ndarray:
    """The pixels of whole frames, `bool[t h w]`."""
    mask = np.zeros(pixels.shape[:3], bool)
    mask[list(known)] = True
    return mask


def look_at(
    given: Clip, scene: world.Scene, known: Iterable[int], joins: dict[int, str]
) -> Callable[[np.ndarray], list[Finding]]:
    """Look at known frames and at joins: the frame after each, and its measure.

    Where the light changes, all pixels tell of it, and a seam is another matter.
    """
    mask = frames_of(given, known)
    fades = scene.stretches[0].light != "steady"
    when = ", in changing light" if fades else ""

    def look(clip: np.ndarray) -> list[Finding]:
        seams = [findings.seam(clip, join, row + when) for join, row in joins.items()]
        return [*findings.known_pixels(clip, given, mask, clips.FPS), *seams]

    return look


def animate(index: int, sample: Sample, known: tuple[int, ...] = (0,)) -> Case:
    """A video through pictures."""
    pixels, scene = sample.clip.pixels, sample.scene
    joins = [join for frame in known for join in (frame, frame + 1)]
    inside = {join: "seam" for join in joins if 0 < join < len(pixels)}
    look_joins = look_at(pixels, scene, known, inside)

    def make(model: Model, **settings) -> np.ndarray:
        keys = [Keyframe(pixels=pixels[[n]], frame=n) for n in known]
        given = keys if len(keys) > 1 else pixels[:1]
        prompt = sample.clip.caption
        return model.animate(given, prompt, frames=len(pixels), **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        told = (sample.captions, scene.stretches, _FACTS, clips.FPS)
        return look_joins(clip) + findings.facts(clip, *told)

    return case(index, sample, known, make, look)


def extend_forward(index: int, sample: Sample) -> Case:
    """The second half of a clip."""
    pixels, known = sample.clip.pixels, range(9)

    def make(model: Model, **settings) -> np.ndarray:
        return model.extend(pixels[:9], sample.clip.caption, frames=8, **settings)

    look = look_at(pixels, sample.scene, known, {9: "seam"})
    return case(index, sample, known, make, look)


def extend_backward(index: int, sample: Sample) -> Case:
    """The first half of a clip."""
    pixels, known = sample.clip.pixels, range(8, SHORT)

    def make(model: Model, **settings) -> np.ndarray:
        asked = dict(frames=8, direction="backward")
        return model.extend(pixels[8:], sample.clip.caption, **asked, **settings)

    look = look_at(pixels, sample.scene, known, {8: "seam"})
    return case(index, sample, known, make, look)


def connect(index: int, sample: Sample) -> Case:
    """The middle of a clip."""
    pixels, known = sample.clip.pixels, [*range(9), *range(24, LONG)]
    first, second = pixels[:9], pixels[24:]

    def make(model: Model, **settings) -> np.ndarray:
        return model.connect(first, second, sample.clip.caption, frames=15, **settings)

    look = look_at(pixels, sample.scene, known, {9: "seam", 24: "seam"})
    return case(index, sample, known, make, look)


def insert(index: int, sample: Sample) -> Case:
    """A second that is missing."""
    pixels, known = sample.clip.pixels, [*range(13), *range(21, LONG)]
    spans = [(13 / clips.FPS, 21 / clips.FPS)]

    def make(model: Model, **settings) -> np.ndarray:
        cut = pixels[known]
        return model.insert(cut, sample.clip.caption, spans=spans, **settings)

    look = look_at(pixels, sample.scene, known, {13: "seam", 21: "seam"})
    return case(index, sample, known, make, look)


def remove(index: int, sample: Sample) -> Case:
    """A second of something else, in the place of half a second."""
    pixels, known = sample.clip.pixels, [*range(13), *range(17, LONG)]
    spans = [(13 / clips.FPS, 21 / clips.FPS)]
    upside_down = pixels[:8, ::-1]
    spoilt = np.concatenate([pixels[:13], upside_down, pixels[17:]])

    def make(model: Model, **settings) -> np.ndarray:
        return model.remove(spoilt, sample.clip.caption, spans=spans, **settings)

    look = look_at(pixels, sample.scene, known, {13: "seam", 17: "seam"})
    return case(index, sample, known, make, look)


def _short(seed: int) -> clips.Found:
    return clips.lively(clips.find(seed, SHORT))


def _long(seed: int) -> clips.Found:
    return clips.lively(clips.find(seed, LONG))


TASKS = {
    "animate": Task(clips=_short, build=animate),
    "animate-ends": Task(
        clips=_short,
        build=lambda *found: animate(*found, known=(0, SHORT - 1)),
    ),
    "extend-forward": Task(clips=_short, build=extend_forward),
    "extend-backward": Task(clips=_short, build=extend_backward),
    "connect": Task(clips=_long, build=connect),
    "insert": Task(clips=_long, build=insert),
    "remove": Task(clips=_long, build=remove),
}
