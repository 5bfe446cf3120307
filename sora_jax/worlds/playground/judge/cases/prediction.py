"""Tasks that only one who knows the world's laws can do: where things will be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sora_jax.evals import clips, follow
from sora_jax.evals.findings import Finding
from sora_jax.evals.joins import SHORT, case
from sora_jax.evals.operated import Case, Model, Task
from sora_jax.evals.segment import Blob
from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.source import Sample

_KNOWN = 5  # frames, which show where a thing is and how fast
_KINDS = {"still": "still", "bounce": "bounce"} | dict.fromkeys(clips.LINES, "line")


def is_determined(scene: world.Scene) -> bool:
    """Say whether the first frames of a scene tell where its object will be."""
    return clips.motion(scene) in _KINDS and scene.stretches[0].camera == "still"


def predict(index: int, sample: Sample) -> Case:
    """Where an object is after twelve more frames."""
    pixels = sample.clip.pixels
    (body,) = sample.scene.stretches[0].bodies
    kind = _KINDS[body.motion]

    def make(model: Model, **settings) -> np.ndarray:
        frames, prompt = SHORT - _KNOWN, sample.clip.caption
        return model.extend(pixels[:_KNOWN], prompt, frames=frames, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        way = follow.distances(follow.places(clip), body.centre)[_KNOWN:]
        away = float(way[-1])
        return [
            Finding(
                measure=f"place ({kind}) within {follow.NEAR}",
                value=away,
                stated=f"<= {follow.NEAR}",
                seen=f"{away:.3f}",
                is_right=away <= follow.NEAR,
            ),
            Finding(measure=f"mean distance ({kind})", value=float(way.mean())),
        ]

    return case(index, sample, range(_KNOWN), make, look)


def behind(index: int, sample: Sample) -> Case:
    """What is about to be hidden by a wall, or just is, comes out again."""
    pixels, stretch = sample.clip.pixels, sample.scene.stretches[0]
    known, when = ((5, "about to hide"), (9, "hidden"))[index % 2]
    (body,) = stretch.bodies

    def make(model: Model, **settings) -> np.ndarray:
        frames, prompt = SHORT - known, sample.clip.caption
        return model.extend(pixels[:known], prompt, frames=frames, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        blobs = follow.things(clip).blobs
        beyond = [[blob for blob in found if is_beyond(blob)] for found in blobs]
        colour = _colour([blob for found in beyond[known:] for blob in found])
        return [
            Finding(
                measure=f"comes out ({when})",
                stated="all that is seen is beyond the wall",
                seen=f"{len(blobs[-1])} things, {len(beyond[-1])} beyond",
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

    return case(index, sample, range(known), make, look)


def _colour(blobs: Sequence[Blob]) -> str:
    """The colour of most of what is seen; "" where nothing is."""
    areas: dict[str, float] = {}
    for blob in blobs:
        areas[blob.colour] = areas.get(blob.colour, 0.0) + blob.area
    return max(areas, key=lambda name: areas[name], default="")


TASKS = {
    "predict": Task(
        clips=lambda seed: clips.find(seed, SHORT, is_determined), build=predict
    ),
    "behind": Task(
        clips=lambda seed: clips.find(seed, SHORT, kind="behind"), build=behind
    ),
}
