"""Find clips that suit a task, and make cases of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.config import PlaygroundConfig
from sora_jax.data import video
from sora_jax.data.sources.protocol import ClipSource
from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Clip, Finding, hold_given
from sora_jax.sampling.tasks import Task
from sora_jax.worlds.playground import captions, world
from sora_jax.worlds.playground.source import Playground

FPS = 8.0
SIZE = (64, 64)
SHORT, LONG = 17, 33  # frames; the default model's own lengths
_JUMP = 4  # frames
LINES = tuple(name for name, item in world.MOTIONS.items() if any(item.direction))
PERPETUAL = ("circle", "spin")  # motions without an end


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrueClip:
    """A clip of a source, with its truth.

    Attributes:
      pixels: bytes as floats in [-1, 1], so that given pixels can be compared exactly.
      fps: frames per second.
      prompt: a caption of the whole clip.
      captions: a caption for each stretch of time, with the same facts as the prompt.
      scene: ground truth of every frame.
    """

    pixels: Clip
    fps: float
    prompt: str
    captions: tuple[captions.StatedCaption, ...]
    scene: world.Scene


Found = Iterator[tuple[int, TrueClip]]


def load_clip(source: ClipSource, index: int) -> TrueClip:
    """Read a clip of any source whose truth is a `source.Truth`."""
    spec = source.spec(index)
    return TrueClip(
        pixels=video.to_float(source.read(index).pixels),
        fps=spec.fps,
        prompt=spec.captions[0].texts[0],
        captions=spec.truth.captions,
        scene=spec.truth.scene,
    )


def find_clips(
    seed: int,
    frames: int,
    is_wanted: Callable[[world.Scene], bool] = lambda scene: True,
    kind: str = "one",
) -> Found:
    """Yield clips of a kind and length, in order."""
    config = PlaygroundConfig(
        split="test",
        seed=seed,
        fps=FPS,
        frames=((frames, 1.0),),
        sizes=((SIZE, 1.0),),
        kinds=((kind, 1.0),),
    )
    source = Playground(config)
    for index in itertools.count():
        if is_wanted(source.scene(index)):
            yield index, load_clip(source, index)


def lively(found: Found) -> Found:
    """Keep the clips in which both a frozen frame and a jump would be visible.

    A bouncing object rests at the top of every arc. A small, fast object leaves its
    place within one frame, so a jump would not change more pixels.
    """
    return (
        (index, sample)
        for index, sample in found
        if motion(sample.scene) != "bounce" and _is_lively(sample.pixels)
    )


def with_motion_stated(found: Found) -> Found:
    """Keep the clips whose captions say what the first object does."""
    return (
        (index, sample)
        for index, sample in found
        if "motion.0" in sample.captions[0].stated
    )


def clip_cases(
    found: Callable[[int], Found], build: Callable[[int, TrueClip], Case]
) -> Callable[[int], Iterator[Case]]:
    """Return a function from a seed to the cases of the clips found for it."""
    return lambda seed: itertools.starmap(build, found(seed))


def clip_case(
    index: int,
    sample: TrueClip,
    given: Bool[np.ndarray, "t h w"],
    score: Callable[[np.ndarray], list[Finding]],
    task: Task,
    **settings: Any,
) -> Case:
    """Build a case that gives pixels of a clip, whose truth is the clip.

    Args:
      index: of the clip.
      sample: the clip.
      given: mask of the given pixels.
      score: scores a video.
      task: the task.
      **settings: fields of `SamplingConfig` that override the weights' defaults.
    """
    pixels = sample.pixels
    return Case(
        index=index,
        prompt=sample.prompt,
        task=task,
        settings=settings,
        fps=sample.fps,
        truth=pixels,
        given=given,
        baseline=hold_given(pixels, given),
        score=score,
    )


def mask_of(
    pixels: Float32[np.ndarray, "t h w 3"], frames: Iterable[int]
) -> Bool[np.ndarray, "t h w"]:
    """Return the mask of whole frames."""
    mask = np.zeros(pixels.shape[:3], bool)
    mask[list(frames)] = True
    return mask


def motion(scene: world.Scene) -> str:
    """Return the motion of the first object."""
    return scene.stretches[0].bodies[0].motion


def is_perpetual(scene: world.Scene) -> bool:
    """Return whether a scene could continue forever unchanged."""
    (stretch,) = scene.stretches
    is_steady = stretch.camera == "still" and stretch.light == "steady"
    return is_steady and motion(scene) in PERPETUAL


def _is_lively(pixels: Float32[np.ndarray, "t h w 3"]) -> bool:
    steps, jumps = metrics.changes(pixels), metrics.changes(pixels[::_JUMP])
    return bool(steps.min() >= metrics.LEAST_CHANGE and jumps.min() >= 2 * steps.max())
