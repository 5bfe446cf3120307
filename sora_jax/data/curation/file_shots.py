"""Find and measure the shots of one file, a picture or a video, in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
import numpy as np

from sora_jax import hashes
from sora_jax.data import decoding, pictures, video
from sora_jax.data.curation import cuts, measures
from sora_jax.data.curation.shot_meter import ShotMeter, View
from sora_jax.data.curation.shots import CuratedShot, Line, UnreadableFile
from sora_jax.files import PathLike, quoted
from sora_jax.limits import LIMITS, Limits


def curate_file(path: PathLike, name: str, limits: Limits = LIMITS) -> list[Line]:
    """Return the lines of a file: its shots, or why it cannot be read.

    Args:
      path: of the file; may be `gs://`.
      name: its path within the folder.
      limits: how large its frames may be, and how long they may last.
    """
    key = ""
    try:
        key = hashes.of_file(path)
        is_picture = pictures.is_still(path, field="file")
        views = _picture(path, limits) if is_picture else _views(path, limits)
        # A meter is large: only one is kept at a time.
        shots = [
            _line(start, meter, name, key) for start, meter in _shots(views, is_picture)
        ]
        return [
            msgspec.structs.replace(shot, shot=number, shots=len(shots))
            for number, shot in enumerate(shots)
        ]
    # A damaged file may raise anything, and must not stop the others.
    except Exception as error:
        reason = (
            str(error).removeprefix(f"file {quoted(path)} ") or type(error).__name__
        )
        return [UnreadableFile(file=name, hash=key, error=reason[:1000])]


def _line(start: int, meter: ShotMeter, name: str, key: str) -> CuratedShot:
    """Return the line of a shot, as if it were the only one of its file."""
    height, width = meter.shown
    measured = meter.finish()
    return CuratedShot(
        file=name,
        hash=key,
        start_frame=start,
        stop_frame=start + meter.frames,
        start_seconds=meter.begin,
        stop_seconds=meter.end,
        height=height,
        width=width,
        fps=meter.fps,
        **measured._asdict(),
    )


def _picture(path: PathLike, limits: Limits) -> Iterator[View]:
    pixels = pictures.read_image(path, field="file", limits=limits)[0]
    frame = video.to_uint8(pixels)
    yield _view(frame, frame.shape[:2], 0.0, 0.0, 0.0)


def _views(path: PathLike, limits: Limits) -> Iterator[View]:
    for frame in decoding.decode(path, field="file", limits=limits):
        end = frame.begin + frame.length
        yield _view(frame.pixels(), frame.size, frame.begin, end, frame.rate)


def _view(
    frame: np.ndarray, shown: tuple[int, int], begin: float, end: float, rate: float
) -> View:
    size = measures.within(*frame.shape[:2], width_most=cuts.WIDTH)
    return View(
        pixels=measures.shrink(frame, size),
        bright=measures.brightness(frame),
        begin=begin,
        end=end,
        rate=rate,
        shown=shown,
    )


def _shots(views: Iterator[View], is_picture: bool) -> Iterator[tuple[int, ShotMeter]]:
    """Yield the first frame's number of each shot, and the shot measured."""
    meter, start = None, 0
    for number, (view, is_cut) in enumerate(_with_cuts(views)):
        if meter is not None and is_cut:
            meter.end = view.begin
            yield start, meter
            meter, start = None, number
        meter = meter or ShotMeter(view, is_picture)
        meter.add(view)
    if meter is not None:
        yield start, meter


def _with_cuts(views: Iterator[View]) -> Iterator[tuple[View, bool]]:
    """Yield frames, and whether a shot begins there."""
    detector, found = None, set()
    waiting: deque[View] = deque()  # a cut is found some frames later
    first = 0  # number of the first that waits
    for number, view in enumerate(views):
        rate = view.rate or 1 / max(view.end - view.begin, 1e-3)
        detector = detector or cuts.CutDetector(rate)
        found.update(detector.cuts(number, view.pixels))
        waiting.append(view)
        if len(waiting) > cuts.DELAY:
            yield waiting.popleft(), first in found
            found.discard(first)
            first += 1
    for view in waiting:
        yield view, first in found
        first += 1
