"""The prompt expander of models of the playground, the artists' characters or both."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sora_jax.datasets.fluent_emoji import near_names
from sora_jax.worlds.playground.expander import PlaygroundExpander


class DefaultExpander(PlaygroundExpander):
    """Rewrites prompts as the playground does; knows what comes near other words."""

    def doubts(self, prompt: str, vocabulary: Collection[str]) -> Iterator[str]:
        """Yield warnings about what no clip of either world shows."""
        yield from super().doubts(prompt, vocabulary)
        yield from near_names.doubts(prompt, vocabulary)
