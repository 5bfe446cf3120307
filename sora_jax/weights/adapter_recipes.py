"""Recipes that adapter files name in their metadata: suggested, never applied."""

from __future__ import annotations

from collections.abc import Sequence

from etils import epath

from sora_jax.config.recipes import named_in
from sora_jax.files import PathLike, quoted
from sora_jax.weights import peft_files
from sora_jax.weights.adapter_paths import Lora, is_peft_folder
from sora_jax.weights.headers import read_metadata

# Where files say what they are: our own key, and those of common trainers.
KEYS = ("recipe", "modelspec.title", "ss_output_name", "name", "title")


def suggestions(loras: Sequence[Lora]) -> list[str]:
    """Return a line for each adapter whose metadata name a recipe.

    Raises:
      ValueError: the header of a file is damaged.
    """
    lines = []
    for lora in loras:
        if names := recipes_of(lora.path):
            one = " or ".join(names)
            lines.append(
                f"adapter {quoted(lora.path)} was made for few steps: try recipe {one} "
                f"(--recipe {names[0]})"
            )
    return lines


def recipes_of(path: PathLike) -> list[str]:
    """Return the recipes that an adapter's metadata name."""
    if is_peft_folder(path):
        _, path = peft_files.files_of(path)
    metadata = read_metadata(epath.Path(path))
    told = " / ".join(metadata[key] for key in KEYS if key in metadata)
    return named_in(told)
