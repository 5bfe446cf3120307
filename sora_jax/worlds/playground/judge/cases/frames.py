"""Tasks that generate frames before, after or between given ones.

The given frames are those of a true clip, which is the perfect result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Clip, Finding, Suite
from sora_jax.sampling.tasks import (
    Animate,
    Connect,
    Extend,
    Insert,
    Keyframe,
    Remove,
    Task,
    build,
)
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import (
    LONG,
    SHORT,
    TrueClip,
    clip_case,
    mask_of,
)
from sora_jax.worlds.playground.judge.observation import observe

_FACTS = {name: name for name in ("colour", "shape", "motion")}


def score_joins(
    pixels: Clip, scene: world.Scene, given: Iterable[int], joins: dict[int, str]
) -> Callable[[np.ndarray], list[Finding]]:
    """Score given frames and joins: the frame after each, and its measure.

    Clips with changing light, in which all pixels change, are measured separately.
    """
    mask = mask_of(pixels, given)
    fades = scene.stretches[0].light != "steady"
    when = ", in changing light" if fades else ""

    def score(clip: np.ndarray) -> list[Finding]:
        found = [metrics.seam(clip, join, row + when) for join, row in joins.items()]
        return [*metrics.given_pixels(clip, pixels, mask, clips.FPS), *found]

    return score


def beside(
    index: int,
    sample: TrueClip,
    given: Iterable[int],
    joins: dict[int, str],
    task: Task,
) -> Case:
    """A case in which frames are given, and those and the joins are scored."""
    frames = list(given)
    score = score_joins(sample.pixels, sample.scene, frames, joins)
    mask = mask_of(sample.pixels, frames)
    return clip_case(index, sample, mask, score, task)


def animate(index: int, sample: TrueClip, given: tuple[int, ...] = (0,)) -> Case:
    """Animate given frames of a clip."""
    pixels, scene = sample.pixels, sample.scene
    joins = [join for frame in given for join in (frame, frame + 1)]
    inside = {join: "seam" for join in joins if 0 < join < len(pixels)}
    score_frames = score_joins(pixels, scene, given, inside)

    def score(clip: np.ndarray) -> list[Finding]:
        told = (sample.captions, scene.stretches, _FACTS)
        return score_frames(clip) + facts.judge_named_facts(
            observe(clip, clips.FPS), *told
        )

    keys = [Keyframe(picture=pixels[[frame]], frame=frame) for frame in given]
    task = build(Animate, {"image": keys, "frames": len(pixels)})
    return clip_case(index, sample, mask_of(pixels, given), score, task)


def extend_forward(index: int, sample: TrueClip) -> Case:
    """Extend the first half of a clip."""
    task = build(Extend, {"video": sample.pixels[:9], "frames": 8})
    return beside(index, sample, range(9), {9: "seam"}, task)


def extend_backward(index: int, sample: TrueClip) -> Case:
    """Extend the second half of a clip backward."""
    given = {"video": sample.pixels[8:], "frames": 8, "direction": "backward"}
    task = build(Extend, given)
    return beside(index, sample, range(8, SHORT), {8: "seam"}, task)


def connect(index: int, sample: TrueClip) -> Case:
    """Connect the ends of a clip."""
    pixels, given = sample.pixels, [*range(9), *range(24, LONG)]
    task = build(Connect, {"video": (pixels[:9], pixels[24:]), "frames": 15})
    return beside(index, sample, given, {9: "seam", 24: "seam"}, task)


def insert(index: int, sample: TrueClip) -> Case:
    """Insert a missing second."""
    given = [*range(13), *range(21, LONG)]
    span = [(13 / clips.FPS, 21 / clips.FPS)]
    task = build(Insert, {"video": sample.pixels[given], "span": span})
    return beside(index, sample, given, {13: "seam", 21: "seam"}, task)


def remove(index: int, sample: TrueClip) -> Case:
    """Remove a second of another clip; half a second bridges the gap."""
    pixels, given = sample.pixels, [*range(13), *range(17, LONG)]
    upside_down = pixels[:8, ::-1]
    spoilt = np.concatenate([pixels[:13], upside_down, pixels[17:]])
    span = [(13 / clips.FPS, 21 / clips.FPS)]
    task = build(Remove, {"video": spoilt, "span": span})
    return beside(index, sample, given, {13: "seam", 17: "seam"}, task)


def _suite(frames: int, build: Callable[[int, TrueClip], Case]) -> Suite:
    found = clips.clip_cases(
        lambda seed: clips.lively(clips.find_clips(seed, frames)), build
    )
    return Suite(cases=found)


SUITES = {
    "animate": _suite(SHORT, animate),
    "animate-ends": _suite(SHORT, lambda *found: animate(*found, given=(0, SHORT - 1))),
    "extend-forward": _suite(SHORT, extend_forward),
    "extend-backward": _suite(SHORT, extend_backward),
    "connect": _suite(LONG, connect),
    "insert": _suite(LONG, insert),
    "remove": _suite(LONG, remove),
}
