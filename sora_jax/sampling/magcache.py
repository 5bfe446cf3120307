"""MagCache: which denoising steps skip the transformer's blocks (Ma et al. 2025).

Between steps, what the blocks add to their input (the residual) changes little, and
its magnitude changes in much the same way for every prompt. So a curve, measured once
(`calibration`), tells beforehand in which steps an earlier residual does: as long as
the products of the ratios since it was computed stay near 1. Needs no JAX.

arXiv 2506.09045, and github.com/Zehong-Ma/MagCache.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from jaxtyping import Float

from sora_jax import files, limits
from sora_jax.config import SamplingConfig
from sora_jax.files import PathLike

FORMAT = "sora_jax magcache"
# (time, ratio of the residual's magnitude to the one before) of each step.
Curve = tuple[tuple[float, float], ...]
_Time = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Ratio = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class _File(msgspec.Struct):
    format: str
    curve: Annotated[list[tuple[_Time, _Ratio]], msgspec.Meta(min_length=1)]


def ratios_at(curve: Curve, times: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    """Return the ratios of steps at other times than the curve's.

    The magnitude itself, the product of the ratios, is interpolated over time: with
    half as many steps, each changes it as much as two did.
    """
    measured, ratios = np.array(curve, np.float64).T
    order = np.argsort(measured, kind="stable")
    magnitude = np.cumsum(np.log(ratios))
    at = np.interp(times, measured[order], magnitude[order])
    return np.exp(np.diff(at, prepend=at[:1]))


def plan_skips(
    settings: SamplingConfig,
    times: Float[np.ndarray, " r"],
    phases: Sequence[Hashable],
) -> tuple[bool, ...]:
    """Return which evaluations of the transformer skip its blocks.

    Args:
      settings: the curve, the threshold, and how many steps in a row may skip.
      times: of the evaluations.
      phases: what each evaluation depends on beside its time, such as the transformer
        of two: no residual is reused in another phase.
    """
    ratios, skips = ratios_at(settings.cache_curve, times).tolist(), []
    for _, group in itertools.groupby(range(len(times)), key=lambda i: phases[i]):
        steps = list(group)
        first = max(1, round(settings.cache_retention * len(steps)))
        ratio, error, row = 1.0, 0.0, 0
        for number, i in enumerate(steps):
            skipped = False
            if number >= first:
                ratio, row = ratio * ratios[i], row + 1
                error += abs(1 - ratio)
                is_small = error < settings.cache_threshold
                skipped = is_small and row <= settings.cache_max_skips
            if not skipped:
                ratio, error, row = 1.0, 0.0, 0
            skips.append(skipped)
    return tuple(skips)


def read_curve(path: PathLike, field: str = "cache_curve") -> Curve:
    """Read the curve of a file that `calibration` wrote.

    Raises:
      ValueError: it does not exist, or is no such file.
    """
    text = files.read_text(path, field, limits.CONFIG_BYTES)
    try:
        found = files.decode_json(text, _File)
        if found.format != FORMAT:
            raise ValueError(f"its format is {files.quoted(found.format)}")
    except ValueError as error:
        raise ValueError(
            f"{field} {files.quoted(path)} holds no curve of MagCache ({error}): write "
            "one with python -m sora_jax.sampling.calibration"
        ) from error
    return tuple(found.curve)


def curve_file(curve: Curve, **record: Any) -> dict[str, Any]:
    """Return the content of a curve's file.

    Args:
      curve: as measured.
      **record: what it was measured with, for the reader.
    """
    return {"format": FORMAT, **record, "curve": curve}
