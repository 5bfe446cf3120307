"""Read single frames of a clip, small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sora_jax.data import decoding, pictures, video
from sora_jax.data.curation import measures
from sora_jax.data.curation.shots import Box
from sora_jax.files import PathLike
from sora_jax.limits import LIMITS, Limits


def read_frames(
    path: PathLike,
    numbers: Sequence[int],
    *,
    short_side: int,
    crop: Box | None = None,
    limits: Limits = LIMITS,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read frames of a picture or a video, as displayed, scaled down.

    Args:
      path: of the file; may be `gs://`.
      numbers: of the frames, increasing.
      short_side: pixels of the shorter side at most.
      crop: the part to read, in displayed pixels; None reads all.
      limits: how large the frames may be, and how long they may last.

    Raises:
      ValueError: the file cannot be read, or has fewer frames.
    """
    if pictures.is_still(path, field="file"):
        pixels = pictures.read_image(path, field="file", limits=limits)[0]
        frame = video.to_uint8(pixels)
        return np.stack([_fitted(frame, frame.shape[:2], short_side, crop)])
    wanted, found, number = set(numbers), [], 0
    for number, shown in enumerate(decoding.decode(path, field="file", limits=limits)):
        if number in wanted:
            found.append(_fitted(shown.pixels(), shown.size, short_side, crop))
        if len(found) == len(wanted):
            return np.stack(found)
    raise ValueError(
        f"file {path} has {number + 1} frames, and frame {max(wanted)} was asked for: "
        "it has changed since it was curated; run `sora-jax data curate` again"
    )


def _fitted(
    frame: np.ndarray, shown: tuple[int, int], short_side: int, crop: Box | None
) -> np.ndarray:
    crop = crop or Box(top=0, left=0, height=shown[0], width=shown[1])
    inside = measures.scaled(crop, (shown[0], shown[1]), frame.shape[:2])
    height, width = measures.within(crop.height, crop.width, short_side=short_side)
    part = np.ascontiguousarray(measures.cut(frame, inside))
    image = Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)
