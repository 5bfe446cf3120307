"""Warn about requests unlike the model's training data; they run all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sora_jax.config import ModelConfig
from sora_jax.files import quoted
from sora_jax.models.tokenizer import Tokenizer, words_of
from sora_jax.sampling.request import Request
from sora_jax.sampling.rewording import Expander, prompts_of
from sora_jax.sampling.segments import Segment, all_sampled


def find_unfamiliar(
    segments: Sequence[Segment],
    model: ModelConfig,
    tokenizer: Tokenizer,
    expander: Expander | None = None,
) -> Iterator[str]:
    """Yield a warning for each way in which segments differ from training data."""
    for sampled in all_sampled(segments):
        yield from _unlike(sampled.request, model)
        for prompt in prompts_of(sampled.request):
            yield from _unread(prompt, model, tokenizer)
            doubts = expander.doubts(prompt, model.seen.words) if expander else ()
            yield from (f"{model.name} {doubt}" for doubt in doubts)


def _unlike(request: Request, model: ModelConfig) -> Iterator[str]:
    size, fps = request.settings.size, request.settings.fps
    if model.seen.sizes and size not in model.seen.sizes:
        seen = ", ".join(f"{w}x{h}" for h, w in model.seen.sizes)
        # Measured with the default model on its own clips at twice their size: 18.5 dB
        # refined, 34.2 dB resized alone.
        expected = (
            "expect little of this size"
            if request.source is None
            else "expect a worse clip than resizing alone gives; refine at a size that "
            "it knows, or enlarge with another tool, such as 'ffmpeg -i IN -vf "
            f"scale={size[1]}:{size[0]} OUT'"
        )
        yield (
            f"{model.name} was trained on {seen}, not on {size[1]}x{size[0]}: "
            f"{expected}"
        )
    if model.seen.sizes and model.fps not in (None, fps):
        yield (
            f"{model.name} was trained on {model.fps:g} frames per second, not "
            f"on {fps:g}: expect little of this rate"
        )


def _unread(prompt: str, model: ModelConfig, tokenizer: Tokenizer) -> Iterator[str]:
    strange = words_of(prompt) - set(model.seen.words) if model.seen.words else ()
    if strange:
        yield (
            f"{model.name} was not trained on {', '.join(map(repr, sorted(strange)))}: "
            f"it may ignore or misread them (prompt {quoted(prompt)}; docs/prompts.md "
            "shows prompts that work)"
        )
    count, room = tokenizer.count(prompt), model.text.pad_to
    if count > room:
        yield (
            f"{model.name} reads the first {room} tokens of a prompt and ignores the "
            f"others: {quoted(prompt)} has {count}"
        )
