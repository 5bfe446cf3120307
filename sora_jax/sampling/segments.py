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
from sora_jax.limits import UNLIMITED, Limits
from sora_jax.sampling.limit_checks import check_prompts, exceeding
from sora_jax.sampling.footprint import check_footprint
from sora_jax.sampling.request import Request, check

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
    parts: Sequence[Part], model: ModelConfig, limits: Limits = UNLIMITED
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
            check_request(part.request, model, limits)
            shown, size = shown + part.stop - part.start, part.request.settings.size
        elif isinstance(part, Then):
            canvas = part.canvas
            check_request(canvas.request, model, limits)
            shape = (canvas.stop - canvas.start, *canvas.request.settings.size, 3)
            then = part.parts(np.zeros(shape, np.float32))
            later, size = check_parts(then, model, limits)
            shown += later
        else:
            shown += len(part)
    return shown, size


def canvases(parts: Sequence[Part]) -> Iterator[Canvas]:
    """Yield all that is made, what follows from what was made before included."""
    for part in parts:
        if isinstance(part, Canvas):
            yield part
        elif isinstance(part, Then):
            canvas = part.canvas
            yield canvas
            shape = (canvas.stop - canvas.start, *canvas.request.settings.size, 3)
            yield from canvases(part.parts(np.zeros(shape, np.float32)))


def check_request(request: Request, model: ModelConfig, limits: Limits) -> None:
    """Refuse what the model cannot make, or what exceeds the limits.

    Raises:
      ValueError: names each field, its value and the remedy.
    """
    problems = exceeding(request.settings, limits)
    problems += check_prompts(
        (*request.prompts, *(p for _, p in request.story)), limits
    )
    if not problems:
        check(request, model)
        problems = check_footprint(request, model, limits)
    if problems:
        raise ValueError("\n".join(problems))
