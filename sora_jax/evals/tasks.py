"""The tasks that a model can be asked for, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from sora_jax.sampling import flags
from sora_jax.sampling.tasks.keyframes import Keyframe
from sora_jax.sampling.tasks.story import Stretch

__all__ = ["TASKS", "Keyframe", "Stretch", "perform"]

TASKS = (*get_args(flags.Task), "outpaint")


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
      arguments: of the task.
      **settings: the seed, and what differs from the weights' own settings.
    """
    method = getattr(model, task)
    if task == "generate":
        return list(method(list(prompts), **arguments, **settings))
    (prompt,) = prompts
    if task != "storyboard":  # which has a prompt for each stretch of time
        settings["prompt"] = prompt
    return [method(**arguments, **settings)]
