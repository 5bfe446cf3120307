"""Rewrite prompts in the vocabulary of a model's captions, and split them at cuts.

A prompt that describes a cut is sampled shot by shot, like a storyboard: then all of 16
videos showed both shots, against two or three when sampled as one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from sora_jax.config import ModelConfig
from sora_jax.files import quoted
from sora_jax.sampling.request import Request
from sora_jax.sampling.segments import (
    FollowUp,
    Sampled,
    Segment,
    all_sampled,
    map_requests,
)

# A shot of fewer frames is too short to show anything.
FEWEST = 5


@runtime_checkable  # the tests check types at run time
class Expander(Protocol):
    """Rewrites prompts in the vocabulary of a model's captions.

    The vocabulary is every word of the training captions; empty if unknown.
    """

    def reword(self, prompt: str, vocabulary: Collection[str]) -> str:
        """Rewrite a prompt in words of the vocabulary; unchanged if it is already."""
        ...

    def shots(self, prompt: str, vocabulary: Collection[str]) -> list[str]:
        """Split a prompt into its shots, one or more."""
        ...

    def doubts(self, prompt: str, vocabulary: Collection[str]) -> Iterable[str]:
        """Return what a prompt asks for that no training clip shows."""
        ...


def reword(
    segments: Sequence[Segment],
    model: ModelConfig,
    expander: Expander,
    tell: Callable[[str], None],
) -> list[Segment]:
    """Rewrite the prompts of segments, and report the changes.

    Only a segment sampled from a prompt alone is split into shots; one that a clip, a
    picture or a follow-up depends on stays one shot.
    """

    def change(request: Request) -> Request:
        return _reworded(request, model, expander)

    found: list[Segment] = []
    for segment in segments:
        if isinstance(segment, Sampled):
            shots = map_requests(_shots(segment, model, expander), change)
            _tell_changes([segment], shots, tell)
            found += shots
        elif isinstance(segment, FollowUp):
            changed = map_requests([segment], change)
            sampled = [one.sampled for one in changed if isinstance(one, FollowUp)]
            _tell_changes([segment.sampled], sampled, tell)
            found += changed
        else:
            found.append(segment)
    return found


def join_prompts(segments: Sequence[Segment]) -> str:
    """Join the prompts of segments, separated by bars."""
    texts = (text for one in all_sampled(segments) for text in one.request.texts)
    return " | ".join(text for text, _ in itertools.groupby(texts))


def prompts_of(request: Request) -> list[str]:
    """Return the prompts of a request without duplicates."""
    return list(dict.fromkeys(request.texts))


def _tell_changes(
    before: Sequence[Segment], after: Sequence[Segment], tell: Callable[[str], None]
) -> None:
    asked, read = (
        [
            text
            for one in each
            if isinstance(one, Sampled)
            for text in prompts_of(one.request)
        ]
        for each in (before, after)
    )
    if len(asked) < len(read):
        tell(f"{quoted(asked[0])} is read as: {' | '.join(read)}")
        return
    for prompt, meant in zip(asked, read, strict=False):
        if " ".join(prompt.split()) != meant:
            tell(f"{quoted(prompt)} is read as: {meant}")


def _shots(segment: Sampled, model: ModelConfig, expander: Expander) -> list[Segment]:
    """Split a segment sampled from a prompt alone into shots, if long enough."""
    request, frames = segment.request, segment.request.settings.frames
    given: list[Any] = [request.condition, request.noise, request.source]
    given += [*request.fading, *request.story]
    is_whole = (segment.start, segment.stop) == (0, frames)
    if len(request.prompts) != 1 or not is_whole or any(x is not None for x in given):
        return [segment]
    shots = expander.shots(request.prompts[0], model.seen.words)
    if len(shots) == 1 or frames < FEWEST * len(shots):
        return [segment]
    cuts = [frames * number // len(shots) for number in range(len(shots) + 1)]
    return [
        _shot(request, shot, stop - start, model.vae.time_factor)
        for shot, start, stop in zip(shots, cuts, cuts[1:], strict=False)
    ]


def _shot(request: Request, prompt: str, frames: int, factor: int) -> Sampled:
    """Return the segment of a shot, of a length that the VAE supports."""
    whole = 1 + -(-(frames - 1) // factor) * factor
    settings = dataclasses.replace(request.settings, frames=whole)
    request = dataclasses.replace(request, prompts=(prompt,), settings=settings)
    return Sampled(request=request, stop=frames)


def _reworded(request: Request, model: ModelConfig, expander: Expander) -> Request:
    words = model.seen.words
    return dataclasses.replace(
        request,
        prompts=tuple(expander.reword(text, words) for text in request.prompts),
        story=tuple((at, expander.reword(text, words)) for at, text in request.story),
    )
