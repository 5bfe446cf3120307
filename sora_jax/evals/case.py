"""A case: a task that a model performs, the truth, and what is scored in the video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.sampling.tasks import Task

Clip: TypeAlias = Float32[np.ndarray, "t h w 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What one measure finds in a video.

    Attributes:
      measure: a row of the table.
      value: a number, where there is one.
      stated: what is wanted.
      seen: what the pixels show.
      is_right: whether it is what is wanted; None for a number that is averaged.
    """

    measure: str
    value: float | None = None
    stated: str = ""
    seen: str = ""
    is_right: bool | None = None


def _pixels(clip: Clip) -> Clip:
    return clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One video that a model is asked for.

    Attributes:
      index: of the clip in its source.
      prompt: what the model is told.
      task: what the model does; equal for all cases of a batch.
      settings: fields of `SamplingConfig` that differ from the weights' own.
      fps: frames per second.
      truth: the source's own video; None where it has none.
      given: the pixels of the video that the model is given.
      baseline: the video if nothing is generated.
      observe: looks at a video, before it is held against the truth.
      score: holds what was observed against the truth; it keeps no pixels where a
        suite shuffles prompts.
      compare: the truth through the VAE against the truth, if that is measured.
    """

    index: int
    prompt: str
    task: Task
    settings: Mapping[str, Any]
    fps: float
    truth: Clip | None
    given: Bool[np.ndarray, "t h w"]
    baseline: Clip
    observe: Callable[[Clip], Any] = _pixels
    score: Callable[[Any], list[Finding]]
    compare: Callable[[Clip], list[Finding]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """Cases of one kind.

    Attributes:
      cases: draws them one by one, for a seed.
      batch: how many are performed at once: more than one where the task and the
        settings are the same in all cases.
      every: one case is drawn of so many that are asked for, where each takes long.
      shuffles: whether videos are scored by another prompt too, in the place of the
        baseline.
      rows: measures in the table's order; others follow in the order they are found.
    """

    cases: Callable[[int], Iterator[Case]]
    batch: int = 1
    every: int = 1
    shuffles: bool = False
    rows: Sequence[str] = ()


def hold_given(pixels: Clip, given: Bool[np.ndarray, "t h w"]) -> Clip:
    """Hold given pixels until the next ones; grey where none are given in any frame."""
    frames = np.arange(len(given))[:, None, None]
    last = np.maximum.accumulate(np.where(given, frames, -1))
    shown = np.where(last < 0, np.argmax(given, axis=0), last)
    held = np.take_along_axis(pixels, shown[..., None], axis=0)
    return held * np.any(given, axis=0, keepdims=True)[..., None]


def all_right(found: Sequence[Finding], measure: str = "all of these") -> Finding:
    """Whether all of these are right."""
    wrong = [item.measure for item in found if not item.is_right]
    return Finding(
        measure=measure,
        stated="all of these",
        seen=f"not: {', '.join(wrong)}" if wrong else "all of these",
        is_right=not wrong,
    )
