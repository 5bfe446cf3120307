"""Pictures and texts that stand at a frame of a video: keyframes, stretches of time."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keyframe:
    """A picture that a video shows.

    Attributes:
      picture: a file's path, or one frame `[1 h w 3]` in [-1, 1].
      frame: at which frame of the video; negative numbers count from the end.
      strength: for which share of the denoising, from its beginning, it is held; at 1
        it comes back as it is.
    """

    picture: Any
    frame: int = 0
    strength: int | float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of time of a storyboard.

    Attributes:
      frame: where it begins.
      prompt: what it shows.
      picture: that it begins with: a file's path, or one frame `[1 h w 3]`.
      cut: whether a new shot begins with it.
    """

    frame: int
    prompt: str
    picture: Any = None
    cut: bool = False
