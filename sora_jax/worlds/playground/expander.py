"""Rewrite prompts in the playground's vocabulary, for models trained on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sora_jax.files import quoted
from sora_jax.worlds.playground import nouns, rewrites


class PlaygroundExpander:
    """See `sampling.rewording.Expander`."""

    def reword(self, prompt: str, vocabulary: Collection[str]) -> str:
        """Rewrite a prompt like the playground's captions."""
        return rewrites.rewrite(prompt, vocabulary)

    def shots(self, prompt: str, vocabulary: Collection[str]) -> list[str]:
        """Split a prompt that describes a cut into shots, each with an object."""
        return rewrites.shots(prompt, vocabulary)

    def doubts(self, prompt: str, vocabulary: Collection[str]) -> Iterator[str]:
        """Yield warnings about what no playground clip shows."""
        if not rewrites.speaks(vocabulary):
            return
        yield from nouns.doubts(prompt)
        if rewrites.is_story(prompt):
            yield (
                f"shows one motion per shot: {quoted(prompt)} describes several in "
                "sequence; write a storyboard with a shot for each"
            )
