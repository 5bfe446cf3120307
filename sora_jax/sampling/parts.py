"""What a task comes to: footage that stays as it is, and canvases that are made.

A task is a list of parts, in the order in which they are shown. Tasks are built, and
all that can be refused is refused, without any weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from sora_jax.config import ModelConfig
from sora_jax.sampling.making import Progress
from sora_jax.sampling.request import Request, check
from sora_jax.sampling.rolling import Frames, play
from sora_jax.weights.parts import Weights

# [t h w 3]; no names, since those of one function would have to be of one length.
Clip: TypeAlias = Float[np.ndarray, "_ _ _ 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Canvas:
    """Frames that are made, and which of them are shown.

    Attributes:
      request: what is made.
      start: first frame that is shown.
      stop: one past the last.
    """

    request: Request
    start: int = 0
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Then:
    """Parts that depend on what a canvas shows; the canvas is not shown by itself."""

    canvas: Canvas
    parts: Callable[[Clip], list[Part]]


Part: TypeAlias = Clip | Canvas | Then


def check_parts(parts: Sequence[Part], model: ModelConfig) -> int:
    """Refuse what the model cannot make.

    Returns:
      The number of frames that are shown.

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    shown = 0
    for part in parts:
        if isinstance(part, Canvas):
            check(part.request, model)
            shown += part.stop - part.start
        elif isinstance(part, Then):
            canvas = part.canvas
            check(canvas.request, model)
            shape = (canvas.stop - canvas.start, *canvas.request.settings.size, 3)
            shown += check_parts(part.parts(np.zeros(shape, np.float32)), model)
        else:
            shown += len(part)
    return shown


def perform(
    weights: Weights, parts: Sequence[Part], progress: Progress
) -> Iterator[Frames]:
    """Make the parts and yield their frames in order, chunk by chunk."""
    for number, part in enumerate(parts):
        if isinstance(part, Canvas):
            yield from show(weights, part, number, progress)
        elif isinstance(part, Then):
            chunks = list(show(weights, part.canvas, number, progress))
            made = np.concatenate(chunks, axis=1)
            yield from perform(weights, part.parts(made[0]), progress)
        elif len(part):
            yield part[None]


def show(
    weights: Weights, canvas: Canvas, number: int, progress: Progress
) -> Iterator[Frames]:
    """Make a canvas and yield the frames of it that are shown."""
    request = dataclasses.replace(canvas.request, part=canvas.request.part + number)
    at = 0
    for chunk in play(weights, request, progress):
        first, last = max(canvas.start, at) - at, min(canvas.stop, at + chunk.shape[1])
        at, last = at + chunk.shape[1], last - at
        if first < last:
            yield chunk[:, first:last]
