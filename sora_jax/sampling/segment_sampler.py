"""Parts to frames: footage is passed on, canvases are made, one after another."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from sora_jax import sharding
from sora_jax.sampling.window_sampler import Progress, Reader
from sora_jax.sampling.segments import Canvas, Part, Then
from sora_jax.sampling.windows import Frames, play
from sora_jax.weights.parts import Weights


class Player:
    """Makes parts; their prompts are read but once, and each has its own noise."""

    def __init__(self, weights: Weights, progress: Progress):
        self.weights, self.progress = weights, progress
        self.reader, self.numbers = Reader(weights), itertools.count()

    def perform(self, parts: Sequence[Part]) -> Iterator[Frames]:
        """Make the parts and yield their frames in order, chunk by chunk."""
        several = sum(not isinstance(part, np.ndarray) for part in parts) > 1
        numbers = range(len(parts))
        for number in self.progress(numbers, "part") if several else numbers:
            part = parts[number]
            if isinstance(part, Canvas):
                yield from self.show(part)
            elif isinstance(part, Then):
                made = np.concatenate(list(self.show(part.canvas)), axis=1)
                with sharding.fail_together():  # as where a task is built
                    then = part.parts(made[0])
                yield from self.perform(then)
            elif len(part):
                yield part[None]

    def show(self, canvas: Canvas) -> Iterator[Frames]:
        """Make a canvas and yield the frames of it that are shown."""
        request = dataclasses.replace(canvas.request, part=next(self.numbers))
        at = 0
        for chunk in play(self.weights, self.reader, request, self.progress):
            first, last = max(canvas.start - at, 0), canvas.stop - at
            at += chunk.shape[1]
            if first < min(last, chunk.shape[1]):
                yield chunk[:, first:last]
