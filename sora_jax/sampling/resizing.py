"""Warn about pictures and clips whose size differs from the video's."""

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
# Smaller relative changes of size are not worth a warning.
NEAR = 0.25


def warn_about_resizing(
    task: Task, fit: Fit, settings: SamplingConfig, model: ModelConfig, limits: Limits
) -> None:
    """Warn about every file that is resized a lot, and say how."""
    if not model.seen.sizes or jax.process_index() > 0:
        return
    for line in _lines(task, fit, settings, model, limits):
        _logger.warning(line)


def _lines(
    task: Task, fit: Fit, settings: SamplingConfig, model: ModelConfig, limits: Limits
) -> Iterator[str]:
    # Upscaling enlarges on purpose.
    files = [x for x in task.footage() if isinstance(x, str)]
    for path in dict.fromkeys(files) if task.size == "input" else ():
        if os.path.exists(path):
            shape = file_size(path, limits)
            change = describe_resizing(shape, settings.size, fit)
            if change:
                yield (
                    f"{quoted(os.path.basename(path))} {change}: {model.name} was "
                    "trained on clips of one kind, and its frames do not match other "
                    "footage"
                )


def file_size(path: str, limits: Limits = LIMITS) -> tuple[int, int]:
    """Return the displayed (height, width) of a picture or clip; reads one frame."""
    if path.endswith(".npy"):
        return next(iter(arrays.array_frames(path, 1.0, limits=limits))).size
    if pictures.is_still(path):
        return pictures.picture_size(path, limits=limits)
    return next(iter(decoding.decode(path, limits=limits))).size


def describe_resizing(source: tuple[int, int], size: tuple[int, int], fit: str) -> str:
    """Describe how a file is resized; "" if its size hardly changes."""
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
    way = "" if is_alike else f" ({ways[fit]}; change it by --fit)"
    return f"is {columns}x{rows} and becomes {width}x{height}{way}"
