"""What a task comes to: footage that stays as it is, and canvases that are made.

A task is a list of parts, in the order in which they are shown. Tasks are built, and
all that can be refused is refused, without any weights.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from sora_jax.config import ModelConfig
from sora_jax.sampling.making import Progress, Reader
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


def check_parts(
    parts: Sequence[Part], model: ModelConfig
) -> tuple[int, tuple[int, int]]:
    """Refuse what the model cannot make.

    Returns:
      The number of frames that are shown, and their size (height, width).

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    shown, size = 0, (0, 0)
    for part in parts:
        if isinstance(part, Canvas):
            check(part.request, model)
            shown, size = shown + part.stop - part.start, part.request.settings.size
        elif isinstance(part, Then):
            canvas = part.canvas
            check(canvas.request, model)
            shape = (canvas.stop - canvas.start, *canvas.request.settings.size, 3)
            later, size = check_parts(part.parts(np.zeros(shape, np.float32)), model)
            shown += later
        else:
            shown += len(part)
    return shown, size


class Player:
    """Makes parts; their prompts are read but once, and each has its own noise."""

    def __init__(self, weights: Weights, progress: Progress):
        self.weights, self.progress = weights, progress
        self.reader, self.numbers = Reader(weights), itertools.count()

    def perform(self, parts: Sequence[Part]) -> Iterator[Frames]:
        """Make the parts and yield their frames in order, chunk by chunk."""
        for part in parts:
            if isinstance(part, Canvas):
                yield from self.show(part)
            elif isinstance(part, Then):
                made = np.concatenate(list(self.show(part.canvas)), axis=1)
                yield from self.perform(part.parts(made[0]))
            elif len(part):
                yield part[None]

    def show(self, canvas: Canvas) -> Iterator[Frames]:
        """Make a canvas and yield the frames of it that are shown."""
        request = dataclasses.replace(canvas.request, part=next(self.numbers))
        at = 0
        for chunk in play(self.weights, self.reader, request, self.progress):
            first, last = (
                max(canvas.start, at) - at,
                min(canvas.stop, at + chunk.shape[1]),
            )
            at, last = at + chunk.shape[1], last - at
            if first < last:
                yield chunk[:, first:last]
