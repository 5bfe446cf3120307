"""Inputs at a frame of a video: keyframes and stretches of time."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keyframe:
    """A picture at a frame of a video.

    Attributes:
      picture: a file's path, or one frame `[1 h w 3]` in [-1, 1].
      frame: index in the video; negative numbers count from the end.
      strength: the first share of the denoising steps in which it is given; at 1 its
        pixels are returned unchanged.
    """

    picture: Any
    frame: int = 0
    strength: int | float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of time of a storyboard.

    Attributes:
      frame: its first frame.
      prompt: describes it.
      picture: its first frame: a path, or an array `[1 h w 3]`.
      cut: whether it begins a new shot.
    """

    frame: int
    prompt: str
    picture: Any = None
    cut: bool = False
