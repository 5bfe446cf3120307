"""What a video is given beside text: known pixels, and a guide. Needs no JAX."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxtyping import Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """The given pixels of a video; all others are generated.

    Attributes:
      pixels: given values in [-1, 1]; the others are grey (0).
      mask: 1 where a pixel is given, 0 where it is generated.
    """

    pixels: Float[Any, "t h w c"]
    mask: Float[Any, "t h w"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guide:
    """What the generated pixels follow, for a model with a control branch.

    Attributes:
      control: a video of depth, poses, edges or the like, of the video's shape.
      references: pictures of what is to appear, in any size.
      scale: how much the control branch counts.
    """

    control: Float[Any, "t h w 3"] | None = None
    references: tuple[Float[Any, "_ _ 3"], ...] = ()
    scale: int | float = 1.0

    def crop(self, start: int, frames: int) -> Guide:
        """Return the guide of a window."""
        if self.control is None:
            return self
        return dataclasses.replace(self, control=self.control[start : start + frames])
