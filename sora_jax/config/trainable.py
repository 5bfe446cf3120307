"""Which parameters a run trains: filters of their paths, some by name."""

from __future__ import annotations

import re

# Filters that have a name. Any other is a regular expression of paths.
FILTERS = {
    "all": ".*",
    "adapters": ".*/lora_(down|up)",
    # Of a VAE: latents stay as they are, and with them what was trained on them.
    "decoder": "vae/decoder|critic",
}


def trainable_pattern(trainable: str) -> re.Pattern[str]:
    """The pattern that a filter stands for; it also matches all below a path.

    Raises:
      ValueError: it is no regular expression.
    """
    pattern = FILTERS.get(trainable, trainable)
    try:
        return re.compile(f"(?:{pattern})(?:/.*)?")
    except re.error as error:
        raise ValueError(
            f"trainable must be {', '.join(map(repr, FILTERS))}, the name of a network "
            f"or a regular expression of paths, got {trainable!r} ({error})"
        ) from error
