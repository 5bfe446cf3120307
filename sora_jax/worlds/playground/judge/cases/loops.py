"""Tasks without an end: loops, and videos that are made window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from sora_jax.evals import clips, findings, read
from sora_jax.evals.findings import Finding
from sora_jax.evals.joins import SHORT, case, frames_of, look_at
from sora_jax.evals.operated import Case, Clip, Model, Task, idle
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.source import Sample

_WRAP = {0: "seam where it wraps around"}
# Windows of the length that the default weights take.
_ROLLING = {"frames": 69, "window": 29, "context": 9}
_MINUTE = {"frames": 481}  # at 8 fps
_END = 33  # frames: the last four seconds, from picture to picture
_SECOND = 8  # frames
_DRIFT = 3.0  # of 255


def circles(scene: world.Scene) -> bool:
    """Say whether all comes back to where it was: once, in short clips."""
    return clips.is_perpetual(scene) and clips.motion(scene) == "circle"


def ends(scene: world.Scene) -> bool:
    """Say whether the world would not come back by itself."""
    return clips.motion(scene) != "circle"


def _endless(
    seed: int,
    frames: int,
    is_wanted: Callable[[world.Scene], bool] = clips.is_perpetual,
) -> clips.Found:
    """Clips that could go on for ever, by captions that say how."""
    return clips.told(clips.find(seed, frames, is_wanted))


def loop_circle(index: int, sample: Sample) -> Case:
    """The second half of a circle."""
    period = _period(sample)
    pixels, known = period.clip.pixels, range(9)

    def make(model: Model, **settings) -> np.ndarray:
        return model.loop(pixels[:9], sample.clip.caption, frames=7, **settings)

    look = look_at(pixels, sample.scene, known, {9: "seam", **_WRAP})
    return case(index, period, known, make, look)


def loop_prompt(index: int, sample: Sample) -> Case:
    """A circle from its prompt alone."""
    period = _period(sample)

    def make(model: Model, **settings) -> np.ndarray:
        return model.loop(None, sample.clip.caption, frames=SHORT - 1, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        return [findings.seam(clip, *join) for join in _WRAP.items()]

    return case(index, period, (), make, look)


def loop_any(index: int, sample: Sample) -> Case:
    """A way back to the first frame of any clip, which the world itself never goes."""
    pixels, known = sample.clip.pixels, range(SHORT)
    nothing = np.zeros((8, *pixels.shape[1:]), np.float32)
    given = np.concatenate([pixels, nothing])

    def make(model: Model, **settings) -> np.ndarray:
        return model.loop(pixels, sample.clip.caption, frames=8, **settings)

    mask = frames_of(given, known)
    return Case(
        index=index,
        prompt=sample.clip.caption,
        make=make,
        look=look_at(given, sample.scene, known, {SHORT: "seam", **_WRAP}),
        truth=None,
        known=mask,
        idle=idle(given, mask),
    )


def _period(sample: Sample) -> Sample:
    """A circle without its last frame, which is its first."""
    clip = dataclasses.replace(sample.clip, pixels=sample.clip.pixels[:-1])
    return dataclasses.replace(sample, clip=clip)


def rolling(index: int, sample: Sample) -> Case:
    """Nine seconds in three windows."""
    step = _ROLLING["window"] - _ROLLING["context"]
    edges = range(_ROLLING["window"], _ROLLING["frames"], step)

    def look(clip: np.ndarray) -> list[Finding]:
        return [findings.seam(clip, edge, "seam of windows") for edge in edges]

    return case(index, sample, (), None, look)


def minute(index: int, sample: Sample) -> Case:
    """A minute in as many windows as it takes."""
    names = {"colour": "colour at the end", "shape": "shape at the end"}
    told = (sample.captions, sample.scene.stretches, names)

    def look(clip: np.ndarray) -> list[Finding]:
        readings = read.read(clip[-_END:], clips.FPS)
        drift = _drift(clip)
        found = [*findings.judged(readings, *told), _moves(readings), _steady(drift)]
        away = Finding(measure="drift of the mean colour, of 255", value=drift)
        return [*found, findings.all_of(found), away]

    return case(index, sample, (), None, look)


def _moves(readings: Sequence[read.Reading]) -> Finding:
    things = readings[-1].things
    seen = things[0].motion if things else ""
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


_SHAPE = {"size": clips.SIZE, "fps": clips.FPS}
TASKS = {
    "loop-circle": Task(
        clips=lambda seed: clips.lively(clips.find(seed, SHORT, circles)),
        build=loop_circle,
    ),
    "loop-prompt": Task(
        clips=lambda seed: clips.lively(_endless(seed, SHORT, circles)),
        build=loop_prompt,
    ),
    "loop-any": Task(
        clips=lambda seed: clips.lively(clips.find(seed, SHORT, ends)), build=loop_any
    ),
    "rolling": Task(
        clips=lambda seed: clips.lively(_endless(seed, _ROLLING["frames"])),
        build=rolling,
        generates=_ROLLING | _SHAPE,
    ),
    "minute": Task(
        clips=lambda seed: _endless(seed, _MINUTE["frames"]),
        build=minute,
        every=4,
        generates=_MINUTE | _SHAPE,
    ),
}
