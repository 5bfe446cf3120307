"""Find cuts between similar backdrops, where light, wall or every object jumps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sora_jax.worlds.playground.judge import tracking
from sora_jax.worlds.playground.judge.segmentation import Blob

_LIGHT_JUMP = 0.12  # of the brightness
_SWITCHED = 0.85  # of the frames
_SIZE_JUMP = 0.2  # of the logarithm of the area
_WAY_JUMP = 0.09  # units
_MUCH_MORE = 2.2  # times the steps before and after
_SHIFT = 0.04  # units, with another shape


def find_light_jump(brightness: Float[np.ndarray, " t"], shortest: int) -> int:
    """Return the frame at which the light jumps; 0 if none.

    Args:
      brightness: of each frame.
      shortest: the fewest frames that a stretch may have.
    """
    steps = np.abs(np.diff(brightness))
    steps = steps[shortest - 1 : len(brightness) - shortest]
    if not len(steps) or steps.max() < _LIGHT_JUMP:
        return 0
    return int(np.argmax(steps)) + shortest


def find_switch(is_there: Sequence[bool], shortest: int) -> int:
    """Return the frame at which something appears or disappears; 0 if none.

    Args:
      is_there: whether it is seen in each frame.
      shortest: the fewest frames that a stretch may have.
    """
    there = np.array(is_there, float)
    for place in np.flatnonzero(np.diff(there)) + 1:
        change = abs(there[:place].mean() - there[place:].mean())
        if shortest <= place <= len(there) - shortest and change > _SWITCHED:
            return int(place)
    return 0


def find_replacement(
    chains: Sequence[Sequence[Blob]], frames: int, shortest: int
) -> int:
    """Return the frame at which every object jumps or is replaced; 0 if none.

    Args:
      chains: blobs of the same object in successive frames.
      frames: of the clip.
      shortest: the fewest frames that a stretch may have.
    """
    return next(
        (
            place
            for place in range(shortest, frames - shortest + 1)
            if _is_replaced(chains, place)
        ),
        0,
    )


def _is_replaced(chains: Sequence[Sequence[Blob]], place: int) -> bool:
    near = [
        chain
        for chain in chains
        if any(abs(blob.frame - place + 0.5) < 2 for blob in chain)
    ]
    before = any(chain[0].frame < place for chain in near)
    after = any(chain[-1].frame >= place for chain in near)
    return before and after and all(_breaks(chain, place) for chain in near)


def _breaks(chain: Sequence[Blob], place: int) -> bool:
    """Return whether an object begins, ends or jumps at a frame."""
    first = next((n for n, blob in enumerate(chain) if blob.frame >= place), len(chain))
    if first == 0:
        return chain[0].frame == place and not chain[0].is_hidden
    if first == len(chain):
        return chain[-1].frame == place - 1 and not chain[-1].is_hidden
    old, new = chain[:first], chain[first:]
    if old[-1].is_hidden or new[0].is_hidden:
        return False
    if old[-1].colour != new[0].colour:
        return True
    way = float(np.linalg.norm(new[0].centre - old[-1].centre))
    growth = abs(np.log(new[0].area / old[-1].area))
    usual_way, usual_growth = _usual(old[-3:], new[:3])
    if growth > _SIZE_JUMP and growth > _MUCH_MORE * usual_growth:
        return True
    if way > _WAY_JUMP and way > _MUCH_MORE * usual_way:
        return True
    if way < _SHIFT or way < 1.5 * usual_way:
        return False
    return tracking.measure_track(old).shape != tracking.measure_track(new).shape


def _usual(*parts: Sequence[Blob]) -> tuple[float, float]:
    """Return the largest step and growth from blob to blob within the parts."""
    pairs = [pair for part in parts for pair in zip(part, part[1:], strict=False)]
    ways = [float(np.linalg.norm(new.centre - old.centre)) for old, new in pairs]
    growths = [abs(float(np.log(new.area / old.area))) for old, new in pairs]
    return max(ways, default=0.0), max(growths, default=0.0)
