"""Tasks turn text, clips, pictures and masks into the segments of a video.

To add one, write its dataclass in a file here and list it in `_ALL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sora_jax.files import quoted
from sora_jax.sampling.tasks.animate import Animate
from sora_jax.sampling.tasks.connect import Connect, Loop
from sora_jax.sampling.tasks.edit import Edit, Upscale
from sora_jax.sampling.tasks.extend import Extend
from sora_jax.sampling.tasks.generate import Generate
from sora_jax.sampling.tasks.inpaint import Inpaint, Outpaint
from sora_jax.sampling.tasks.inputs import Keyframe, Stretch
from sora_jax.sampling.tasks.splice import Insert, Remove
from sora_jax.sampling.tasks.storyboard import Storyboard
from sora_jax.sampling.tasks.task import Task, build

_ALL: tuple[type[Task], ...] = (
    Generate,
    Animate,
    Extend,
    Loop,
    Connect,
    Edit,
    Inpaint,
    Outpaint,
    Insert,
    Remove,
    Storyboard,
    Upscale,
)
TASKS: Mapping[str, type[Task]] = {kind.name: kind for kind in _ALL}

__all__ = ["TASKS", "Keyframe", "Stretch", "Task", "build", "from_json"]
__all__ += [kind.__name__ for kind in _ALL]  # pyright: ignore[reportUnsupportedDunderAll]


def from_json(data: Any) -> Task:
    """Build a task from JSON, as `Task.to_json` writes it.

    Raises:
      ValueError: names every argument that is wrong, its value and the remedy.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"a task must be an object, got {quoted(data)}")
    given = dict(data)
    name = given.pop("task", None)
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {quoted(name)}")
    return build(TASKS[name], given)
