"""Measure one shot as its frames come, in bounded memory."""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sora_jax.data.curation import fingerprints, measures
from sora_jax.data.curation.samples import EvenSamples
from sora_jax.data.curation.shots import Box, Scores

SIDE = 64  # pixels of the frames that motion is measured in
STILL = 8  # levels of 255; less is what compression changes
SAMPLES = 16  # frames of which sharpness and exposure are measured
CLOSES = 2.0  # steps between frames that a loop's last frame is from its first
DEPARTS = 3.0  # times as far that some frame of a loop is


class View(NamedTuple):
    """What is kept of a frame.

    Attributes:
      pixels: at most 256 wide.
      bright: brightness in native size.
      begin: seconds since the first frame of the file.
      end: begin plus its duration, by the file.
      rate: frames per second that the file declares; 0 if none.
      shown: displayed (height, width).
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    bright: UInt8[np.ndarray, "rows columns"]
    begin: float
    end: float
    rate: float
    shown: tuple[int, int]


class Measured(NamedTuple):
    """What was measured of a shot; fields as those of `shots.CuratedShot`."""

    crop: Box
    is_still: bool
    is_loop: bool
    scores: Scores
    fingerprint: str
    colours: str


class ShotMeter:
    """Measures a shot, given its frames one by one.

    Args:
      first: its first frame, which is not yet added.
      is_picture: whether the file is a picture, which has no duration.
    """

    def __init__(self, first: View, is_picture: bool = False):
        self.frames, self.begin, self.end = 0, first.begin, first.end
        self.shown, self._rate, self._is_picture = first.shown, first.rate, is_picture
        self._brightest = np.zeros_like(first.bright)
        self._first = self._last = _small(first)
        self._change, self._farthest, self._largest = 0.0, 0.0, 0
        self._sharp: EvenSamples[np.ndarray] = EvenSamples(SAMPLES)
        self._seen: EvenSamples[np.ndarray] = EvenSamples(fingerprints.SAMPLES)

    def add(self, view: View) -> None:
        """Add the next frame."""
        small = _small(view)
        np.maximum(self._brightest, view.bright, out=self._brightest)
        self._change += measures.distance(small, self._last)
        self._farthest = max(self._farthest, measures.distance(small, self._first))
        self._largest = max(self._largest, measures.largest(small, self._first))
        self._sharp.add(lambda: _sharp(view))
        self._seen.add(lambda: view.pixels)
        self._last, self.end, self.frames = small, view.end, self.frames + 1

    @property
    def fps(self) -> float:
        """Frames per second: as declared, unless the times contradict it."""
        if self._is_picture:
            return 0.0
        measured = self.frames / (self.end - self.begin)
        is_so = abs(self._rate / measured - 1) < 0.02 or self.frames == 1
        return self._rate if self._rate and is_so else measured

    def finish(self) -> Measured:
        """Return the measures of all frames."""
        size = self._brightest.shape
        crop = measures.find_crop(self._brightest)
        is_still = self._largest <= STILL
        return Measured(
            crop=_displayed(crop, size, self.shown),
            is_still=is_still,
            is_loop=not is_still and self._is_loop(),
            scores=self._scores(crop, size),
            fingerprint=fingerprints.fingerprint(self._seen.items, crop, size),
            colours=fingerprints.colours(self._seen.items, crop, size),
        )

    def _is_loop(self) -> bool:
        gap = measures.distance(self._last, self._first)
        return gap <= CLOSES * self._step and self._farthest >= DEPARTS * gap

    @property
    def _step(self) -> float:
        """Mean change from a frame to the next one, in levels of 255."""
        return self._change / max(1, self.frames - 1)

    def _scores(self, crop: Box, size: tuple[int, ...]) -> Scores:
        rows, columns = size
        looks = [
            measures.look(
                measures.cut(
                    bright, measures.scaled(crop, (rows, columns), bright.shape[:2])
                )
            )
            for bright in self._sharp.items
        ]
        # The borders, which do not move, are part of the mean.
        share = crop.height * crop.width / (rows * columns)
        return Scores(
            duration=0.0 if self._is_picture else self.end - self.begin,
            motion=self._step / share * self.fps / 24,
            sharpness=statistics.median(look.sharpness for look in looks),
            exposure=measures.mean([look.exposure for look in looks]),
            contrast=measures.mean([look.contrast for look in looks]),
            clipped=measures.mean([look.clipped for look in looks]),
        )


def _small(view: View) -> UInt8[np.ndarray, "h w"]:
    return measures.shrink(measures.brightness(view.pixels), (SIDE, SIDE))


def _sharp(view: View) -> UInt8[np.ndarray, "h w"]:
    rows, columns = view.bright.shape
    size = measures.within(rows, columns, short_side=measures.SHORT_SIDE)
    return measures.shrink(view.bright, size)


def _displayed(crop: Box, size: tuple[int, ...], shown: tuple[int, int]) -> Box:
    """Return a crop in displayed pixels, which are square."""
    rows, columns = size
    return measures.scaled(crop, (rows, columns), shown)
