"""Near-duplicates: perceptual hashes and colours of a shot, and their distances.

A copy that was encoded again, rescaled, letterboxed, or given another frame rate has
almost the same hashes. They see only brightness, so that colours are compared, too: the
same figure in another colour is another clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import msgspec
import numpy as np
from jaxtyping import Bool, UInt8, UInt64
from PIL import Image

from sora_jax.data.curation import measures
from sora_jax.data.curation.samples import at_shares
from sora_jax.data.curation.shots import Box, CuratedShot

SAMPLES = 64  # frames to choose from
FRAMES = 4  # frames that are hashed, each to 64 bits
GRID = 4  # parts of the frame along each side whose colours are kept
DISTANCE = 0.16  # share of the bits in which near-duplicates differ at most: 10 of 64
COLOUR = 16  # levels of 255 by which their colours differ at most
_BLOCK = 2**19  # pairs that are compared at once


def fingerprint(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], crop: Box, size: tuple[int, ...]
) -> str:
    """Return the perceptual hashes (pHash) of four frames, 64 bits each, in hex.

    Args:
      frames: evenly spaced.
      crop: the part without borders.
      size: (height, width) of the frames in which the crop is counted.
    """
    images = (_cropped(frame, crop, size) for frame in at_shares(frames, FRAMES))
    return "".join(str(imagehash.phash(image)) for image in images)


def colours(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], crop: Box, size: tuple[int, ...]
) -> str:
    """Return the mean colours of 4x4 parts of the frame, three bytes each, in hex."""
    grids = [
        np.asarray(
            _cropped(frame, crop, size).resize((GRID, GRID), Image.Resampling.BOX)
        )
        for frame in at_shares(frames, FRAMES)
    ]
    return np.rint(np.mean(grids, axis=0)).astype(np.uint8).tobytes().hex()


def _cropped(frame: np.ndarray, crop: Box, size: tuple[int, ...]) -> Image.Image:
    inside = measures.scaled(crop, (size[0], size[1]), frame.shape[:2])
    return Image.fromarray(np.ascontiguousarray(measures.cut(frame, inside)))


def mark_duplicates(
    shots: Sequence[CuratedShot], most: float = DISTANCE
) -> list[CuratedShot]:
    """Set `duplicate_of` of each shot that is a near-duplicate of a better one.

    The better one has more pixels, or else comes first. Chains are cut: a shot is only
    a duplicate of one that is none. All pairs are compared.

    Args:
      shots: with fingerprints.
      most: share of the bits of the fingerprints that may differ.

    Returns:
      The shots in the same order.
    """
    order = sorted(range(len(shots)), key=lambda i: (-_area(shots[i]), i))
    hashes = _numbers([shots[i].fingerprint for i in order], np.dtype(">u8"))
    grids = _numbers([shots[i].colours for i in order], np.dtype(np.uint8))
    original = np.arange(len(order))
    block = max(1, _BLOCK // max(1, len(order)))
    for start in range(0, len(order), block):
        stop = start + block  # later ones are not better
        near = _near(hashes[:stop], grids[:stop], slice(start, stop), most)
        for row in range(len(near)):
            place = start + row
            better = np.flatnonzero(near[row, :place])
            better = better[original[better] == better]
            if len(better):
                original[place] = better[0]
    marked = list(shots)
    for place, index in enumerate(order):
        first = shots[order[original[place]]].id if original[place] != place else ""
        marked[index] = msgspec.structs.replace(shots[index], duplicate_of=first)
    return marked


def _near(
    hashes: UInt64[np.ndarray, "n f"],
    grids: UInt8[np.ndarray, "n g"],
    part: slice,
    most: float,
) -> Bool[np.ndarray, "part n"]:
    """Return which shots are near which of a part of them."""
    bits = np.zeros((len(hashes[part]), len(hashes)), np.uint16)
    for column in hashes.T:
        bits += np.bitwise_count(column[part, None] ^ column)
    near = bits <= most * 64 * hashes.shape[1]
    rows, columns = np.nonzero(near)
    one, other = grids[part][rows].astype(np.int16), grids[columns]
    near[rows, columns] = np.abs(one - other).max(axis=1, initial=0) <= COLOUR
    return near


def _numbers(texts: Sequence[str], kind: np.dtype) -> np.ndarray:
    if not texts:
        return np.zeros((0, 1), kind.newbyteorder("="))
    found = np.stack([np.frombuffer(bytes.fromhex(text), kind) for text in texts])
    return found.astype(kind.newbyteorder("="))


def _area(shot: CuratedShot) -> int:
    return shot.crop.height * shot.crop.width
