"""`Condition`: given pixels and their mask. Needs no JAX."""

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
