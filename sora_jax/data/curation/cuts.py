"""Hard cuts, by PySceneDetect's adaptive detector.

A cut is a frame whose difference in hue, saturation and brightness from the frame
before is large (15 levels of 255) and three times the mean of its neighbours'. Fades
and dissolves are not found.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

SHORTEST = 0.5  # seconds of a shot; a cut that comes earlier is none
DELAY = 2  # frames after a cut until it is known
WIDTH = 256  # pixels of the frames that are compared, as PySceneDetect's default


class CutDetector:
    """Finds cuts in frames given one by one, `DELAY` frames later.

    Args:
      rate: frames per second.
    """

    def __init__(self, rate: float):
        self._rate = min(max(rate, 1.0), 1000.0)
        self._detector = AdaptiveDetector(
            adaptive_threshold=3.0, window_width=DELAY, min_scene_len=SHORTEST
        )

    def cuts(self, number: int, frame: UInt8[np.ndarray, "h w 3"]) -> list[int]:
        """Return the frames before which cuts were found by the next frame.

        Args:
          number: of the frame, from 0.
          frame: of the same size each time.
        """
        time = FrameTimecode(number, fps=self._rate)
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        found = self._detector.process_frame(time, blue_first)
        return [int(cut.frame_num) for cut in found]
