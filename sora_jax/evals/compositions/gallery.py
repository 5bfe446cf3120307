"""A gallery of true clips at a low resolution, and how far a video is from each.

Distances are over the background of the video's prompt, and the least of all cyclic
shifts in time: a loop may begin anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from sora_jax.data import backgrounds
from sora_jax.data.sources.resampling import read_at
from sora_jax.data.sources.stored import ClipStore

SIDE = 32  # pixels
SAMPLES = 24  # frames: three seconds at 8 frames per second
FPS = 8.0
_THREADS = 4
_CHUNK = 64  # clips that are compared at once

Feature = Float32[np.ndarray, "samples d"]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """True clips.

    Attributes:
      truths: ground truth of each: name, base, gender, role, tone.
      is_seen: whether a clip was in the training split.
      pixels: of each, with alpha.
    """

    truths: Sequence[Mapping[str, Any]]
    is_seen: Sequence[bool]
    pixels: UInt8[np.ndarray, "m samples side side 4"]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.truths)

    def distances(self, feature: Feature, background: str) -> Float32[np.ndarray, " m"]:
        """Return the mean squared distance of a video from each clip.

        Args:
          feature: of the video.
          background: of its prompt.
        """
        parts = [
            _distances(feature, self._features(slice(i, i + _CHUNK), background))
            for i in range(0, len(self), _CHUNK)
        ]
        return np.concatenate(parts)

    def _features(
        self, part: slice, background: str
    ) -> Float32[np.ndarray, "m samples d"]:
        clips = self.pixels[part]
        behind = backgrounds.picture(background, SIDE, SIDE).astype(np.float32)
        alpha = clips[..., 3:].astype(np.float32) / np.float32(255)
        shown = clips[..., :3] * alpha + behind * (1 - alpha)
        return _centred(shown.reshape(*clips.shape[:2], -1))


def _distances(
    video: Feature, clips: Float32[np.ndarray, "m samples d"]
) -> Float32[np.ndarray, " m"]:
    # |v - c|² = |v|² + |c|² - 2 v·c, for every cyclic shift of c.
    products = np.einsum("td,msd->mts", video, clips, optimize=True)
    times = np.arange(len(video))
    aligned = [
        products[:, times, (times + shift) % len(video)].sum(axis=1) for shift in times
    ]
    squares = (video**2).sum() + (clips**2).sum(axis=(1, 2))
    return (squares - 2 * np.max(aligned, axis=0)) / video.size


def feature_of(video: Float32[np.ndarray, "t h w 3"]) -> Feature:
    """Return a video, in [-1, 1], as it is compared: small, in bytes around grey.

    Shorter videos than `SAMPLES` are repeated, of longer ones the first are taken.
    """
    frames = video[np.arange(SAMPLES) % len(video)]
    small = np.stack([_small(frame) for frame in (frames + 1) * 127.5])
    return _centred(small.reshape(SAMPLES, -1))


def _small(frame: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "side side 3"]:
    planes = [
        Image.fromarray(np.ascontiguousarray(frame[..., channel])).resize(
            (SIDE, SIDE), Image.Resampling.BOX
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _centred(values: Float32[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    return (values - np.float32(127.5)) / np.float32(127.5)


def open_gallery(stores: Mapping[str, ClipStore], seen: Sequence[str]) -> Gallery:
    """Read the clips of several splits.

    Args:
      stores: by split.
      seen: the splits that were trained on.
    """
    truths, is_seen, clips = [], [], []
    for split, store in stores.items():
        with ThreadPoolExecutor(_THREADS) as pool:
            clips += pool.map(lambda i, s=store: _read(s, i), range(len(store)))
        truths += [store.describe(i).spec.truth for i in range(len(store))]
        is_seen += [split in seen] * len(store)
    return Gallery(truths, is_seen, np.stack(clips))


def _read(store: ClipStore, index: int) -> UInt8[np.ndarray, "samples side side 4"]:
    stored = store.describe(index)
    times = np.arange(SAMPLES) / FPS
    if stored.is_loop:
        times = times % stored.seconds
    content = store.content(index)
    return read_at(content, times, (SIDE, SIDE), stored.name, has_alpha=True)
