"""How a model is asked for a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sora_jax.sampling.tasks import TASKS, Keyframe, Stretch, build

__all__ = ["TASKS", "Keyframe", "Stretch", "perform"]


def perform(
    model: Any,
    task: str,
    prompts: Sequence[str],
    arguments: Mapping[str, Any],
    **settings: Any,
) -> list[np.ndarray]:
    """Ask a model for a video for each prompt.

    Args:
      model: see `sora_jax.sampling.model.Model`.
      task: a name in `TASKS`; only "generate" takes more than one prompt.
      prompts: what each video shows.
      arguments: of the task, and settings that go with it.
      **settings: the seed, and what differs from the weights' own settings.
    """
    kind = TASKS[task]
    given = {name: x for name, x in arguments.items() if name in kind.arguments()}
    settings |= {name: x for name, x in arguments.items() if name not in given}
    chunks = model.perform(build(kind, given), list(prompts), **settings)
    return list(np.concatenate(list(chunks), axis=1))
