"""A case: a task for a model, the true video, and how the output is scored."""

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
    """The result of one measure on a video.

    Attributes:
      measure: name, a row of the table.
      value: a number, if any.
      stated: the expected fact.
      seen: the fact in the pixels.
      is_right: whether they agree; None for a number that is averaged.
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
    """One video for a model to generate.

    Attributes:
      index: of the clip in its source.
      prompt: for the model.
      task: for the model; equal for all cases of a batch.
      settings: fields of `SamplingConfig` that override the weights' defaults.
      fps: frames per second.
      truth: the true video; None if there is none.
      given: mask of the given pixels.
      baseline: the video of the given pixels alone, or another simple answer.
      observe: extracts from a video what is scored.
      score: compares an observation with the truth; holds no pixels if the suite
        shuffles prompts.
      compare: compares the VAE's reconstruction of the truth with the truth, if used.
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
      cases: yields them for a seed.
      batch: cases sampled at once; above 1 only if task and settings are equal.
      every: divides the number of requested cases, if each takes long.
      shuffles: whether videos are also scored by another case's prompt.
      has_baseline: whether the baseline is scored.
      rows: measures in the table's order; others follow.
    """

    cases: Callable[[int], Iterator[Case]]
    batch: int = 1
    every: int = 1
    shuffles: bool = False
    has_baseline: bool = True
    rows: Sequence[str] = ()


def hold_given(pixels: Clip, given: Bool[np.ndarray, "t h w"]) -> Clip:
    """Repeat given pixels until the next given ones; grey where there are none."""
    frames = np.arange(len(given))[:, None, None]
    last = np.maximum.accumulate(np.where(given, frames, -1))
    shown = np.where(last < 0, np.argmax(given, axis=0), last)
    held = np.take_along_axis(pixels, shown[..., None], axis=0)
    return held * np.any(given, axis=0, keepdims=True)[..., None]


def all_right(found: Sequence[Finding], measure: str = "all of these") -> Finding:
    """Combine findings: right if all are."""
    wrong = [item.measure for item in found if not item.is_right]
    return Finding(
        measure=measure,
        stated="all of these",
        seen=f"not: {', '.join(wrong)}" if wrong else "all of these",
        is_right=not wrong,
    )
