"""What is found in one video: known pixels, joins, and facts that captions state."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32

from sora_jax.data import decoding, outputs, video
from sora_jax.evals import fidelity, judge, read, seams
from sora_jax.worlds.playground import captions, world

_GOOD_SEAM = (0.5, 1.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What one measure finds.

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


def known_pixels(
    clip: Float32[np.ndarray, "t h w 3"],
    given: Float32[np.ndarray, "t h w 3"],
    known: Bool[np.ndarray, "t h w"],
    fps: float,
) -> list[Finding]:
    """Compare known pixels in bytes, and in the file that people get.

    Args:
      clip: what came back.
      given: what was known, in bytes as floats.
      known: where.
      fps: frames per second.
    """
    differ = video.to_uint8(clip)[known] != video.to_uint8(given)[known]
    with tempfile.TemporaryDirectory() as folder:
        path = outputs.write(f"{folder}/clip.mp4", [clip], fps)
        shown = video.to_float(decoding.read_video(path).pixels)
    return [
        Finding(
            measure="known pixels equal",
            stated="no other bytes",
            seen=f"{int(differ.sum())} other bytes",
            is_right=not bool(differ.any()),
        ),
        Finding(
            measure="known pixels in the mp4, dB",
            value=fidelity.psnr(given[known], shown[known]),
        ),
    ]


def all_of(found: Sequence[Finding]) -> Finding:
    """Whether all of these are right."""
    wrong = [item.measure for item in found if not item.is_right]
    return Finding(
        measure="all of these",
        stated="all of these",
        seen=f"not: {', '.join(wrong)}" if wrong else "all of these",
        is_right=not wrong,
    )


def seam(
    clip: Float32[np.ndarray, "t h w 3"], join: int, measure: str = "seam"
) -> Finding:
    """Say whether as much changes across a join as near it."""
    low, high = _GOOD_SEAM
    ratio = seams.ratio(clip, join)
    return Finding(
        measure=measure,
        value=ratio,
        stated=f"{low}–{high}",
        seen=f"{ratio:.2f}",
        is_right=low <= ratio <= high,
    )


def facts(
    clip: Float32[np.ndarray, "t h w 3"],
    parts: Sequence[captions.Caption],
    stretches: Sequence[world.Stretch],
    names: Mapping[str, str],
    fps: float,
) -> list[Finding]:
    """Read a video and judge facts that its captions state.

    Args:
      clip: what is read.
      parts: a caption for each stretch.
      stretches: what the captions were made from.
      names: the measure for each fact of `judge.FACTS` that counts.
      fps: frames per second.
    """
    return judged(read.read(clip, fps), parts, stretches, names)


def judged(
    readings: Sequence[read.Reading],
    parts: Sequence[captions.Caption],
    stretches: Sequence[world.Stretch],
    names: Mapping[str, str],
) -> list[Finding]:
    """Judge facts of a video that was read."""
    verdicts = judge.judge(readings, parts, stretches)
    return [
        Finding(
            measure=names[verdict.fact],
            stated=f"{verdict.fact}: {verdict.stated}",
            seen=verdict.seen,
            is_right=verdict.is_right,
        )
        for verdict in verdicts
        if verdict.fact in names
    ]
