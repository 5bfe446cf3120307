"""What becomes of pictures and clips that are not of the size of the video."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import jax

from sora_jax.config import Fit, ModelConfig, SamplingConfig
from sora_jax.data import arrays, decoding, pictures
from sora_jax.files import quoted
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling.tasks import Task

_logger = logging.getLogger(__name__)
# What is brought to a size that differs by less is the same to look at.
NEAR = 0.25


def warn_about_resizing(
    task: Task, fit: Fit, settings: SamplingConfig, model: ModelConfig, limits: Limits
) -> None:
    """Say of each file that is much resized what it becomes, and what that is worth."""
    if not model.seen.sizes or jax.process_index() > 0:
        return
    for line in _lines(task, fit, settings, model, limits):
        _logger.warning(line)


def _lines(
    task: Task, fit: Fit, settings: SamplingConfig, model: ModelConfig, limits: Limits
) -> Iterator[str]:
    # To enlarge a clip is what upscaling is for.
    for path in _clips_and_pictures(task) if task.size == "input" else ():
        if os.path.exists(path):
            shape = file_size(path, limits)
            change = describe_resizing(shape, settings.size, fit)
            if change:
                yield (
                    f"{quoted(os.path.basename(path))} {change}: {model.name} knows "
                    "the clips of its training only, and what it makes beside other "
                    "footage does not fit"
                )


def _clips_and_pictures(task: Task) -> list[str]:
    """The files of a task that are brought to the size, each once."""
    videos = getattr(task, "video", None)
    paths = list(videos) if isinstance(videos, tuple) else [videos]
    paths += [key.picture for key in getattr(task, "image", ())]
    return list(dict.fromkeys(path for path in paths if isinstance(path, str)))


def file_size(path: str, limits: Limits = LIMITS) -> tuple[int, int]:
    """The (height, width) of a picture or clip on a screen; one frame of it is read."""
    if path.endswith(".npy"):
        return next(iter(arrays.array_frames(path, 1.0, limits=limits))).size
    if pictures.is_still(path):
        return pictures.picture_size(path, limits=limits)
    return next(iter(decoding.decode(path, limits=limits))).size


def describe_resizing(source: tuple[int, int], size: tuple[int, int], fit: str) -> str:
    """How a file of (height, width) comes to another size; "" where little changes."""
    (rows, columns), (height, width) = source, size
    scales = height / rows, width / columns
    if max(abs(scale - 1) for scale in scales) < NEAR:
        return ""
    share = max(scales)
    ways = {
        "crop": f"all but {width / share:.0f}x{height / share:.0f} of it is cut off",
        "pad": "between grey bars",
        "stretch": "stretched out of shape",
    }
    is_alike = share < (1 + NEAR) * min(scales)
    way = "" if is_alike else f" ({ways[fit]}; --fit says how)"
    return f"is {columns}x{rows} and becomes {width}x{height}{way}"
