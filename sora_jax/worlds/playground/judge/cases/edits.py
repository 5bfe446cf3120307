"""Edits: another colour or shape is asked for, and all else is to stay."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sora_jax.data import video
from sora_jax.evals import clips, findings, follow
from sora_jax.evals.findings import Finding
from sora_jax.evals.joins import SHORT
from sora_jax.evals.operated import Case, Model, Task
from sora_jax.worlds.playground import captions, chance, render, world
from sora_jax.worlds.playground.source import Sample

STRENGTHS = (0.5, 0.7, 0.9)
_EDITS = 2  # their luck apart from the clips' own


def edit(index: int, sample: Sample, strength: float) -> Case:
    """One attribute of the object of a clip is changed."""
    pixels, scene = sample.clip.pixels, sample.scene
    rng = chance.generator(_EDITS, index)
    changed = ("colour", "shape")[index % 2]
    stretch = _changed(scene.stretches[0], changed, rng)
    told = captions.caption(stretch, rng, "full")
    truth = render.render(dataclasses.replace(scene, stretches=(stretch,)))

    def make(model: Model, **settings) -> np.ndarray:
        return model.edit(pixels, told.text, strength=strength, **settings)

    names = dict.fromkeys(("colour", "shape"), "keeps its shape or colour")
    names |= {"motion": "keeps its motion", "background": "keeps the background"}
    names[changed] = f"changes its {changed}"

    def look(clip: np.ndarray) -> list[Finding]:
        found = findings.facts(clip, (told,), (stretch,), names, clips.FPS)
        found.append(_path(clip, stretch.bodies[0]))
        return [*found, findings.all_of(found)]

    return Case(
        index=index,
        prompt=told.text,
        make=make,
        look=look,
        truth=video.to_float(video.to_uint8(truth)),
        known=np.zeros(pixels.shape[:3], bool),
        idle=pixels,
    )


def _changed(
    stretch: world.Stretch, attribute: str, rng: np.random.Generator
) -> world.Stretch:
    """Give the only body of a stretch another colour or shape."""
    (body,) = stretch.bodies
    options = {
        "colour": [name for name in world.COLOURS if name != body.colour],
        "shape": [
            name
            for name, shape in world.SHAPES.items()
            if name != body.shape and not (body.motion == "spin" and shape.is_round)
        ],
    }[attribute]
    body = dataclasses.replace(body, **{attribute: chance.choose(rng, options)})
    return dataclasses.replace(stretch, bodies=(body,))


def _path(clip: np.ndarray, body: world.Body) -> Finding:
    """Compare where the thing is in all frames with where it was before the edit."""
    away = float(follow.distances(follow.places(clip), body.centre).mean())
    return Finding(
        measure=f"keeps its path within {follow.NEAR}",
        value=away,
        stated=f"<= {follow.NEAR}",
        seen=f"{away:.3f}",
        is_right=away <= follow.NEAR,
    )


TASKS = {
    f"edit-{strength}": Task(
        clips=lambda seed: clips.find(seed, SHORT),
        build=functools.partial(edit, strength=strength),
    )
    for strength in STRENGTHS
}
