"""Prompts in the playground's words, for models that learned them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sora_jax.files import quoted
from sora_jax.worlds.playground import nouns, rewrites


class PlaygroundExpander:
    """See `sampling.rewording.Expander`."""

    def reword(self, prompt: str, vocabulary: Collection[str]) -> str:
        """Say a prompt as captions of the playground say it."""
        return rewrites.rewrite(prompt, vocabulary)

    def shots(self, prompt: str, vocabulary: Collection[str]) -> list[str]:
        """The shots of a prompt that tells of a cut, each with a body of its own."""
        return rewrites.shots(prompt, vocabulary)

    def doubts(self, prompt: str, vocabulary: Collection[str]) -> Iterator[str]:
        """Yield what a prompt says in the playground's words, but no clip shows."""
        if not rewrites.speaks(vocabulary):
            return
        yield from nouns.doubts(prompt)
        if rewrites.is_story(prompt):
            yield (
                f"shows one thing in a shot: {quoted(prompt)} tells of several, one "
                "after another; write a storyboard, of a shot for each"
            )
