"""What is asked for that a model has never seen: it is told, and made all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sora_jax.config import ModelConfig
from sora_jax.models.tokenizer import Tokenizer, words_of
from sora_jax.sampling.parts import Canvas, Part, Then
from sora_jax.sampling.request import Request


def find(
    parts: Sequence[Part], model: ModelConfig, tokenizer: Tokenizer
) -> Iterator[str]:
    """Yield a line for everything of a task that is unlike the model's training."""
    for part in parts:
        if isinstance(part, Then):
            part = part.canvas
        if isinstance(part, Canvas):
            yield from _unlike(part.request, model)
            for prompt in prompts_of(part.request):
                yield from _unread(prompt, model, tokenizer)


def prompts_of(request: Request) -> list[str]:
    """All that a request's videos are to show, each text once."""
    story = (prompt for _, prompt in request.story)
    return list(dict.fromkeys((*request.prompts, *story)))


def _unlike(request: Request, model: ModelConfig) -> Iterator[str]:
    size, fps = request.settings.size, request.settings.fps
    if model.seen.sizes and size not in model.seen.sizes:
        seen = ", ".join(f"{w}x{h}" for h, w in model.seen.sizes)
        yield (
            f"{model.name} was trained on {seen} and never saw {size[1]}x{size[0]}: "
            "expect little of this size"
        )
    if model.seen.sizes and model.fps not in (None, fps):
        yield (
            f"{model.name} was trained on {model.fps:g} frames per second and never "
            f"saw {fps:g}: expect little of this rate"
        )


def _unread(prompt: str, model: ModelConfig, tokenizer: Tokenizer) -> Iterator[str]:
    strange = words_of(prompt) - set(model.seen.words) if model.seen.words else ()
    if strange:
        yield (
            f"{model.name} never read {', '.join(map(repr, sorted(strange)))}: expect "
            f"nothing of it (prompt {prompt!r})"
        )
    count, room = tokenizer.count(prompt), model.text.pad_to
    if count > room:
        yield (
            f"{model.name} reads {room} pieces of a prompt, and leaves out what comes "
            f"last: {prompt!r} has {count}"
        )
