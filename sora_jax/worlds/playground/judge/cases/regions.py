"""Tasks within frames: a region, the surroundings, and more pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from sora_jax.data import video
from sora_jax.diffusion import conditioning
from sora_jax.evals import clips, fidelity, findings
from sora_jax.evals.findings import Finding
from sora_jax.evals.joins import SHORT
from sora_jax.evals.operated import Case, Clip, Model, Task, idle
from sora_jax.worlds.playground import render, world
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.source import Sample

_MARGIN = 2  # pixels around an object, for what a camera blurs
_LARGEST = 0.75  # part of a frame that is hidden; some of it must be known
_BORDER = 8  # pixels that are made on every side
_LARGE = (128, 128)
_ALIKE = 0.1  # of the truth's gradients
_FACTS = {name: name for name in ("colour", "shape", "motion")}


def inpaint(index: int, sample: Sample) -> Case:
    """All of the places where an object is, as its caption says."""
    pixels = sample.clip.pixels
    mask = conditioning.region_unknown(*_shape(pixels), box_of(sample.scene))
    known = mask > 0

    def make(model: Model, **settings) -> np.ndarray:
        hidden = np.where(known[..., None], pixels, np.float32(0))
        return model.inpaint(hidden, mask, sample.clip.caption, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        told = (sample.captions, sample.scene.stretches, _FACTS, clips.FPS)
        kept = findings.known_pixels(clip, pixels, known, clips.FPS)
        return kept + findings.facts(clip, *told)

    return _case(index, sample, known, make, look)


def box_of(scene: world.Scene) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the pixels that an object comes near to."""
    _, rows, columns = np.nonzero(object_boxes(scene))
    return (
        max(0, int(rows.min()) - _MARGIN),
        max(0, int(columns.min()) - _MARGIN),
        min(scene.height, int(rows.max()) + 1 + _MARGIN),
        min(scene.width, int(columns.max()) + 1 + _MARGIN),
    )


def is_local(scene: world.Scene) -> bool:
    """Say whether an object leaves enough of the frame alone."""
    top, left, bottom, right = box_of(scene)
    return (bottom - top) * (right - left) <= _LARGEST * scene.height * scene.width


def outpaint(index: int, sample: Sample) -> Case:
    """The border of a clip."""
    pixels = sample.clip.pixels
    frames, height, width = _shape(pixels)
    box = (_BORDER, _BORDER, height - _BORDER, width - _BORDER)
    known = conditioning.region_known(frames, height, width, box) > 0
    inner = pixels[:, _BORDER:-_BORDER, _BORDER:-_BORDER]

    def make(model: Model, **settings) -> np.ndarray:
        asked = dict(size=(height, width))
        return model.outpaint(inner, sample.clip.caption, **asked, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        psnr = fidelity.psnr(pixels[~known], np.asarray(clip, np.float32)[~known])
        return [
            *findings.known_pixels(clip, pixels, known, clips.FPS),
            Finding(measure="surroundings, dB", value=psnr),
        ]

    return _case(index, sample, known, make, look)


def upscale(index: int, sample: Sample) -> Case:
    """Twice as many pixels along each side; not to make any is to resample."""
    pixels, (height, width) = sample.clip.pixels, _LARGE
    scene = dataclasses.replace(sample.scene, height=height, width=width)
    truth = video.to_float(video.to_uint8(render.render(scene)))

    def make(model: Model, **settings) -> np.ndarray:
        return model.upscale(pixels, sample.clip.caption, size=_LARGE, **settings)

    def look(clip: np.ndarray) -> list[Finding]:
        ratio = _gradients(clip) / _gradients(truth)
        return [
            Finding(measure="PSNR, dB", value=fidelity.psnr(truth, clip)),
            Finding(measure="gradient energy / truth's", value=ratio),
            Finding(
                measure="gradient energy within 10%",
                stated=f"{1 - _ALIKE:.1f}–{1 + _ALIKE:.1f}",
                seen=f"{ratio:.2f}",
                is_right=abs(ratio - 1) <= _ALIKE,
            ),
        ]

    return Case(
        index=index,
        prompt=sample.clip.caption,
        make=make,
        look=look,
        truth=truth,
        known=np.zeros(truth.shape[:3], bool),
        idle=video.fit(pixels, *_LARGE),
    )


def _gradients(clip: Float32[np.ndarray, "t h w 3"]) -> float:
    """The mean square of the changes from pixel to pixel, down and across."""
    return sum(
        float(np.mean(np.diff(clip.astype(np.float64), axis=axis) ** 2))
        for axis in (1, 2)
    )


def _shape(pixels: Clip) -> tuple[int, int, int]:
    frames, height, width, _ = pixels.shape
    return frames, height, width


def _case(
    index: int,
    sample: Sample,
    known: np.ndarray,
    make: Callable[..., np.ndarray],
    look: Callable[[np.ndarray], list[Finding]],
) -> Case:
    """A case of which a region is known, and a clip that is the truth."""
    pixels = sample.clip.pixels
    return Case(
        index=index,
        prompt=sample.clip.caption,
        make=make,
        look=look,
        truth=pixels,
        known=known,
        idle=idle(pixels, known),
    )


TASKS = {
    "inpaint": Task(
        clips=lambda seed: clips.find(seed, SHORT, is_local), build=inpaint
    ),
    "outpaint": Task(clips=lambda seed: clips.find(seed, SHORT), build=outpaint),
    "upscale": Task(clips=lambda seed: clips.find(seed, SHORT), build=upscale),
}
