"""What is asked for that a model has never seen: it is told, and made all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sora_jax.config import ModelConfig
from sora_jax.files import quoted
from sora_jax.models.tokenizer import Tokenizer, words_of
from sora_jax.sampling.parts import Part, canvases
from sora_jax.sampling.reading import prompts_of
from sora_jax.sampling.request import Request
from sora_jax.worlds.playground import nouns, rewrites


def find(
    parts: Sequence[Part], model: ModelConfig, tokenizer: Tokenizer
) -> Iterator[str]:
    """Yield a line for everything of a task that is unlike the model's training."""
    for canvas in canvases(parts):
        yield from _unlike(canvas.request, model)
        for prompt in prompts_of(canvas.request):
            yield from _unread(prompt, model, tokenizer)
            yield from doubts(prompt, model)


def _unlike(request: Request, model: ModelConfig) -> Iterator[str]:
    size, fps = request.settings.size, request.settings.fps
    if model.seen.sizes and size not in model.seen.sizes:
        seen = ", ".join(f"{w}x{h}" for h, w in model.seen.sizes)
        # Measured with the default model, of its own clips at twice their size: 18.5 dB
        # refined, and 34.2 dB resized alone.
        expected = (
            "expect little of this size"
            if request.source is None
            else "expect a worse clip than resizing alone gives; refine at a size that "
            "it knows, or enlarge with another tool, such as 'ffmpeg -i IN -vf "
            f"scale={size[1]}:{size[0]} OUT'"
        )
        yield (
            f"{model.name} was trained on {seen} and never saw {size[1]}x{size[0]}: "
            f"{expected}"
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
            f"nothing of it (prompt {quoted(prompt)})"
        )
    count, room = tokenizer.count(prompt), model.text.pad_to
    if count > room:
        yield (
            f"{model.name} reads {room} pieces of a prompt, and leaves out what comes "
            f"last: {quoted(prompt)} has {count}"
        )


def doubts(prompt: str, model: ModelConfig) -> Iterator[str]:
    """Yield a line for what a prompt says in a playground's words, but none shows."""
    if not rewrites.speaks(model.seen.words):
        return
    for doubt in nouns.doubts(prompt):
        yield f"{model.name} {doubt}"
    if rewrites.is_story(prompt):
        yield (
            f"{model.name} shows one thing in a shot: {quoted(prompt)} tells of "
            "several, one after another; write a storyboard, of a shot for each"
        )
