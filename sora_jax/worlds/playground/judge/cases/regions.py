"""Tasks within frames: inpaint, outpaint and upscale."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32

from sora_jax.data import video
from sora_jax.diffusion import conditioning
from sora_jax.evals import metrics
from sora_jax.evals.case import Case, Finding, Suite
from sora_jax.sampling.tasks import Inpaint, Outpaint, Upscale, build
from sora_jax.worlds.playground import render, world
from sora_jax.worlds.playground.boxes import object_boxes
from sora_jax.worlds.playground.judge import facts
from sora_jax.worlds.playground.judge.cases import clips
from sora_jax.worlds.playground.judge.cases.clips import SHORT, TrueClip
from sora_jax.worlds.playground.judge.observation import observe

_MARGIN = 2  # pixels around an object, for what a camera blurs
_LARGEST = 0.75  # part of a frame that is hidden; some of it must be given
_BORDER = 8  # pixels that are generated on every side
_LARGE = (128, 128)
_ALIKE = 0.1  # of the truth's gradients
_FACTS = {name: name for name in ("colour", "shape", "motion")}


def inpaint(index: int, sample: TrueClip) -> Case:
    """Inpaint the box of an object's path, by its caption."""
    pixels = sample.pixels
    frames, height, width, _ = pixels.shape
    mask = conditioning.outside_box_mask(frames, height, width, box_of(sample.scene))
    given = mask > 0

    def score(clip: np.ndarray) -> list[Finding]:
        told = (sample.captions, sample.scene.stretches, _FACTS)
        kept = metrics.given_pixels(clip, pixels, given, clips.FPS)
        return kept + facts.judge_named_facts(observe(clip, clips.FPS), *told)

    hidden = np.where(given[..., None], pixels, np.float32(0))
    task = build(Inpaint, {"video": hidden, "mask": 1 - mask})
    return clips.clip_case(index, sample, given, score, task)


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
    """Return whether an object's box leaves enough of the frame."""
    top, left, bottom, right = box_of(scene)
    return (bottom - top) * (right - left) <= _LARGEST * scene.height * scene.width


def outpaint(index: int, sample: TrueClip) -> Case:
    """Outpaint the border of a clip."""
    pixels = sample.pixels
    frames, height, width, _ = pixels.shape
    box = (_BORDER, _BORDER, height - _BORDER, width - _BORDER)
    given = conditioning.inside_box_mask(frames, height, width, box) > 0
    inner = pixels[:, _BORDER:-_BORDER, _BORDER:-_BORDER]

    def score(clip: np.ndarray) -> list[Finding]:
        psnr = metrics.psnr(pixels[~given], np.asarray(clip, np.float32)[~given])
        return [
            *metrics.given_pixels(clip, pixels, given, clips.FPS),
            Finding(measure="surroundings, dB", value=psnr),
        ]

    task = build(Outpaint, {"video": inner, "outpaint": (height, width)})
    return clips.clip_case(index, sample, given, score, task)


def upscale(index: int, sample: TrueClip) -> Case:
    """Upscale to twice the sides; the baseline is resampling."""
    pixels, (height, width) = sample.pixels, _LARGE
    scene = dataclasses.replace(sample.scene, height=height, width=width)
    truth = video.to_float(video.to_uint8(render.render(scene)))

    def score(clip: np.ndarray) -> list[Finding]:
        ratio = _gradients(clip) / _gradients(truth)
        return [
            Finding(measure="PSNR, dB", value=metrics.psnr(truth, clip)),
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
        prompt=sample.prompt,
        task=build(Upscale, {"video": pixels}),
        settings={"size": _LARGE},
        fps=clips.FPS,
        truth=truth,
        given=np.zeros(truth.shape[:3], bool),
        baseline=video.fit(pixels, *_LARGE),
        score=score,
    )


def _gradients(clip: Float32[np.ndarray, "t h w 3"]) -> float:
    """The mean square of the changes from pixel to pixel, down and across."""
    return sum(
        float(np.mean(np.diff(clip.astype(np.float64), axis=axis) ** 2))
        for axis in (1, 2)
    )


SUITES = {
    "inpaint": Suite(
        cases=clips.clip_cases(
            lambda seed: clips.find_clips(seed, SHORT, is_local), inpaint
        ),
    ),
    "outpaint": Suite(
        cases=clips.clip_cases(lambda seed: clips.find_clips(seed, SHORT), outpaint),
    ),
    "upscale": Suite(
        cases=clips.clip_cases(lambda seed: clips.find_clips(seed, SHORT), upscale),
    ),
}
