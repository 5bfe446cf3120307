"""Tasks that need the world's physics: predict where objects will be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sora_jax.evals.case import Case, Finding, Suite
from sora_jax.sampling.tasks import Extend, build
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import tracking
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import SHORT, TrueClip
from sora_jax.worlds.playground.judge.segmentation import Blob

_GIVEN = 5  # frames, which show where an object is and how fast
_KINDS = {"still": "still", "bounce": "bounce"} | dict.fromkeys(clips.LINES, "line")


def is_determined(scene: world.Scene) -> bool:
    """Return whether the first frames determine the object's motion."""
    return clips.motion(scene) in _KINDS and scene.stretches[0].camera == "still"


def predict(index: int, sample: TrueClip) -> Case:
    """Where an object is after twelve more frames."""
    (body,) = sample.scene.stretches[0].bodies
    kind = _KINDS[body.motion]

    def score(clip: np.ndarray) -> list[Finding]:
        way = tracking.distances(tracking.positions(clip), body.centre)[_GIVEN:]
        away = float(way[-1])
        return [
            Finding(
                measure=f"place ({kind}) within {tracking.NEAR}",
                value=away,
                stated=f"<= {tracking.NEAR}",
                seen=f"{away:.3f}",
                is_right=away <= tracking.NEAR,
            ),
            Finding(measure=f"mean distance ({kind})", value=float(way.mean())),
        ]

    return _extended(index, sample, _GIVEN, score)


def behind(index: int, sample: TrueClip) -> Case:
    """Check that an object reappears from behind a wall."""
    stretch = sample.scene.stretches[0]
    given, when = ((5, "about to hide"), (9, "hidden"))[index % 2]
    (body,) = stretch.bodies

    def score(clip: np.ndarray) -> list[Finding]:
        blobs = tracking.segment_clip(clip).blobs
        beyond = [[blob for blob in found if is_beyond(blob)] for found in blobs]
        colour = _colour([blob for found in beyond[given:] for blob in found])
        return [
            Finding(
                measure=f"comes out ({when})",
                stated="all that is seen is beyond the wall",
                seen=f"{len(blobs[-1])} objects, {len(beyond[-1])} beyond",
                is_right=0 < len(beyond[-1]) == len(blobs[-1]),
            ),
            Finding(
                measure=f"keeps its colour ({when})",
                stated=body.colour,
                seen=colour,
                is_right=colour == body.colour,
            ),
        ]

    def is_beyond(blob: Blob) -> bool:
        assert stretch.wall is not None
        middle = (stretch.wall.left + stretch.wall.right) / 2
        way, _ = world.MOTIONS[body.motion].direction
        return float(blob.centre[0] - middle) * way > 0

    return _extended(index, sample, given, score)


def _extended(
    index: int,
    sample: TrueClip,
    given: int,
    score: Callable[[np.ndarray], list[Finding]],
) -> Case:
    """A case in which the first frames are given."""
    pixels = sample.pixels
    task = build(Extend, {"video": pixels[:given], "frames": SHORT - given})
    mask = clips.mask_of(pixels, range(given))
    return clips.clip_case(index, sample, mask, score, task)


def _colour(blobs: Sequence[Blob]) -> str:
    """Return the colour with the largest area; "" if there are no objects."""
    areas: dict[str, float] = {}
    for blob in blobs:
        areas[blob.colour] = areas.get(blob.colour, 0.0) + blob.area
    return max(areas, key=lambda name: areas[name], default="")


SUITES = {
    "predict": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.find_clips(seed, SHORT, is_determined), predict
        ),
    ),
    "behind": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.find_clips(seed, SHORT, kind="behind"), behind
        ),
    ),
}
