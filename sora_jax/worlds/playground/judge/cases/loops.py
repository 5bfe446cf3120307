"""Loops, and long videos sampled window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Clip, Finding, Suite, all_right, hold_given
from sora_jax.sampling.tasks import Generate, Loop, build
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import SHORT, TrueClip
from sora_jax.worlds.playground.judge.cases.frames import beside, score_joins
from sora_jax.worlds.playground.judge.observation import Observation, observe

_WRAP = {0: "seam where it wraps around"}
# Windows of the length that the default weights take.
_WINDOWS = {"window": 29, "context": 9}
_ROLLING = 69  # frames
_MINUTE = 481  # frames, at 8 fps
_SHAPE = {"size": clips.SIZE, "fps": clips.FPS}
_BATCH = 4
_END = 33  # frames: the last four seconds, from picture to picture
_SECOND = 8  # frames
_DRIFT = 3.0  # of 255


def is_circle(scene: world.Scene) -> bool:
    """Return whether a scene returns to its start: one turn of a circle."""
    return clips.is_perpetual(scene) and clips.motion(scene) == "circle"


def is_no_circle(scene: world.Scene) -> bool:
    """Return whether a scene does not return to its start."""
    return clips.motion(scene) != "circle"


def _endless(
    seed: int,
    frames: int,
    is_wanted: Callable[[world.Scene], bool] = clips.is_perpetual,
) -> clips.Found:
    """Find clips that could continue forever and whose captions state the motion."""
    return clips.with_motion_stated(clips.find_clips(seed, frames, is_wanted))


def loop_circle(index: int, sample: TrueClip) -> Case:
    """Loop the first half of a circle."""
    period = _period(sample)
    task = build(Loop, {"video": period.pixels[:9], "frames": 7})
    return beside(index, period, range(9), {9: "seam", **_WRAP}, task)


def loop_prompt(index: int, sample: TrueClip) -> Case:
    """Loop a circle from its prompt alone."""
    period = _period(sample)

    def score(clip: np.ndarray) -> list[Finding]:
        return [metrics.seam(clip, *join) for join in _WRAP.items()]

    given = clips.mask_of(period.pixels, ())
    task = build(Loop, {"frames": SHORT - 1})
    return clips.clip_case(index, period, given, score, task)


def loop_any(index: int, sample: TrueClip) -> Case:
    """Loop any clip; there is no true video of the way back."""
    pixels, frames = sample.pixels, range(SHORT)
    nothing = np.zeros((8, *pixels.shape[1:]), np.float32)
    padded = np.concatenate([pixels, nothing])
    given = clips.mask_of(padded, frames)
    return Case(
        index=index,
        prompt=sample.prompt,
        task=build(Loop, {"video": pixels, "frames": 8}),
        settings={},
        fps=clips.FPS,
        truth=None,
        given=given,
        baseline=hold_given(padded, given),
        score=score_joins(padded, sample.scene, frames, {SHORT: "seam", **_WRAP}),
    )


def _period(sample: TrueClip) -> TrueClip:
    """A circle without its last frame, which is its first."""
    return dataclasses.replace(sample, pixels=sample.pixels[:-1])


def rolling(index: int, sample: TrueClip) -> Case:
    """Nine seconds in three windows."""
    step = _WINDOWS["window"] - _WINDOWS["context"]
    edges = range(_WINDOWS["window"], _ROLLING, step)

    def score(clip: np.ndarray) -> list[Finding]:
        return [metrics.seam(clip, edge, "seam of windows") for edge in edges]

    given = clips.mask_of(sample.pixels, ())
    task = build(Generate, {"frames": _ROLLING})
    return clips.clip_case(index, sample, given, score, task, **_WINDOWS, **_SHAPE)


def minute(index: int, sample: TrueClip) -> Case:
    """A minute in as many windows as it takes."""
    names = {"colour": "colour at the end", "shape": "shape at the end"}
    told = (sample.captions, sample.scene.stretches, names)

    def score(clip: np.ndarray) -> list[Finding]:
        seen = observe(clip[-_END:], clips.FPS)
        drift = _drift(clip)
        found = [*facts.judge_named_facts(seen, *told), _moves(seen), _steady(drift)]
        away = Finding(measure="drift of the mean colour, of 255", value=drift)
        return [*found, all_right(found), away]

    given = clips.mask_of(sample.pixels, ())
    task = build(Generate, {"frames": _MINUTE})
    return clips.clip_case(index, sample, given, score, task, **_SHAPE)


def _moves(observations: Sequence[Observation]) -> Finding:
    objects = observations[-1].objects
    seen = objects[0].motion if objects else ""
    return Finding(
        measure="moves at the end",
        stated="any motion",
        seen=seen,
        is_right=seen not in ("", "still"),
    )


def _drift(clip: Clip) -> float:
    """How far the mean colours of the first and the last second are apart, of 255."""
    first, last = (
        part.mean(axis=(0, 1, 2)) for part in (clip[:_SECOND], clip[-_SECOND:])
    )
    return float(np.abs(last - first).max()) * 127.5


def _steady(drift: float) -> Finding:
    return Finding(
        measure=f"drifts by at most {_DRIFT:.0f} of 255",
        stated=f"<= {_DRIFT}",
        seen=f"{drift:.1f}",
        is_right=drift <= _DRIFT,
    )


SUITES = {
    "loop-circle": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.lively(clips.find_clips(seed, SHORT, is_circle)),
            loop_circle,
        ),
    ),
    "loop-prompt": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.lively(_endless(seed, SHORT, is_circle)), loop_prompt
        ),
    ),
    "loop-any": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.lively(clips.find_clips(seed, SHORT, is_no_circle)),
            loop_any,
        ),
    ),
    "rolling": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.lively(_endless(seed, _ROLLING)), rolling
        ),
        batch=_BATCH,
    ),
    "minute": Suite(
        cases=clips.clip_cases(lambda seed: _endless(seed, _MINUTE), minute),
        batch=_BATCH,
        every=4,
    ),
}
