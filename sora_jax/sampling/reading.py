"""How a model reads what it is asked for: said as its captions say it, cuts cut.

A prompt that tells of a cut is made shot by shot, as a storyboard is: all of 16 videos
showed both shots so, and two or three from the prompt alone.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from sora_jax.config import ModelConfig
from sora_jax.files import quoted
from sora_jax.sampling.parts import Canvas, Clip, Part, Then, canvases
from sora_jax.sampling.request import Request
from sora_jax.worlds.playground import rewrites

# Frames below which a shot shows nothing of its own.
FEWEST = 5


def read(
    parts: Sequence[Part], model: ModelConfig, tell: Callable[[str], None]
) -> list[Part]:
    """Parts whose prompts say what the model can read; what is changed is told.

    Cut into shots is what is made of a prompt alone, and shown as it is made: what a
    clip, a picture or a later part hangs on stays one shot.
    """
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Canvas):
            read = [_reworded(shot, model) for shot in _shots(part, model)]
            _tell_changes([part], read, tell)
            found += read
        elif isinstance(part, Then):
            read = _read_later(part, model)
            _tell_changes([part.canvas], [read.canvas], tell)
            found.append(read)
        else:
            found.append(part)
    return found


def told(parts: Sequence[Part]) -> str:
    """What parts tell of, one text after the other, set apart by bars."""
    texts: list[str] = []
    for canvas in canvases(parts):
        request = canvas.request
        texts += [*request.prompts, *(prompt for _, prompt in request.story)]
    return " | ".join(text for text, _ in itertools.groupby(texts))


def prompts_of(request: Request) -> list[str]:
    """All that a request's videos are to show, each text once."""
    story = (prompt for _, prompt in request.story)
    return list(dict.fromkeys((*request.prompts, *story)))


def _tell_changes(
    before: Sequence[Canvas], after: Sequence[Canvas], tell: Callable[[str], None]
) -> None:
    said = [prompt for canvas in before for prompt in prompts_of(canvas.request)]
    read = [prompt for canvas in after for prompt in prompts_of(canvas.request)]
    if len(said) < len(read):
        tell(f"{quoted(said[0])} is read as: {' | '.join(read)}")
        return
    for prompt, meant in zip(said, read, strict=False):
        if " ".join(prompt.split()) != meant:
            tell(f"{quoted(prompt)} is read as: {meant}")


def _told(prompt: str, model: ModelConfig, frames: int) -> list[str]:
    """The shots of a prompt, if there is time for them."""
    shots = rewrites.shots(prompt, model.seen.words)
    return shots if frames >= FEWEST * len(shots) else [prompt]


def _shots(canvas: Canvas, model: ModelConfig) -> list[Canvas]:
    """The shots of what is made of a prompt alone."""
    request, frames = canvas.request, canvas.request.settings.frames
    given: list[Any] = [request.condition, request.noise, request.source]
    given += [*request.fading, *request.story]
    is_whole = (canvas.start, canvas.stop) == (0, frames)
    if len(request.prompts) != 1 or not is_whole or any(x is not None for x in given):
        return [canvas]
    (prompt,) = request.prompts
    shots = _told(prompt, model, frames)
    places = [frames * number // len(shots) for number in range(len(shots) + 1)]
    return [
        _shot(request, shot, stop - start, model.vae.time_factor)
        for shot, start, stop in zip(shots, places, places[1:], strict=False)
    ]


def _shot(request: Request, prompt: str, frames: int, factor: int) -> Canvas:
    """A shot, made of as many frames as the VAE divides."""
    whole = 1 + -(-(frames - 1) // factor) * factor
    settings = dataclasses.replace(request.settings, frames=whole)
    request = dataclasses.replace(request, prompts=(prompt,), settings=settings)
    return Canvas(request=request, stop=frames)


def _reworded(canvas: Canvas, model: ModelConfig) -> Canvas:
    request, known = canvas.request, model.seen.words
    prompts = tuple(rewrites.read(prompt, known) for prompt in request.prompts)
    story = tuple((at, rewrites.read(prompt, known)) for at, prompt in request.story)
    request = dataclasses.replace(request, prompts=prompts, story=story)
    return dataclasses.replace(canvas, request=request)


def _read_later(part: Then, model: ModelConfig) -> Then:
    def later(clip: Clip) -> list[Part]:
        return [
            _reworded(more, model) if isinstance(more, Canvas) else more
            for more in part.parts(clip)
        ]

    return Then(canvas=_reworded(part.canvas, model), parts=later)
