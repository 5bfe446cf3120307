"""Read mask files: a picture, or a video that matches the masked one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float

from sora_jax.config import Fit, require
from sora_jax.config.plain import Number
from sora_jax.data import decoding, pictures, video
from sora_jax.data.footage import Footage, at_rate
from sora_jax.files import PathLike, quoted
from sora_jax.limits import LIMITS, Limits


def read_mask(
    path: PathLike,
    footage: Footage,
    *,
    fps: Number,
    size: tuple[int, int],
    fit: Fit = "crop",
    field: str = "--mask",
    limits: Limits = LIMITS,
) -> Float[np.ndarray, "t h w"]:
    """Read the mask of given pixels: 1 where given, 0 where generated.

    Pixels lighter than mid grey are generated. A video with as many frames as the
    clip's file is matched frame by frame, another one of equal duration by time. Bars
    that `fit` adds are given.

    Args:
      path: a picture, used for every frame, or a video.
      footage: the clip.
      fps: as in reading the clip.
      size: as in reading the clip.
      fit: as in reading the clip.
      field: the flag or config field that error messages name.
      limits: as in reading the clip.

    Raises:
      ValueError: the file cannot be read, differs from the clip's file in size or
        duration, or leaves nothing to generate.
    """
    named, wanted = f"{field} {quoted(path)}", footage.source_size

    def is_target(
        frames: Float[np.ndarray, "f rows columns 3"], shown: tuple[int, int]
    ) -> Bool[np.ndarray, "f h w"]:
        require(
            shown == wanted,
            f"{named} is {shown[1]}x{shown[0]}, and the video {wanted[1]}x{wanted[0]}: "
            "make the mask as large as the video",
        )
        # Bars are exactly mid grey, and must not be generated.
        return video.fit(frames, *size, fit, shown=shown).mean(axis=-1) > 0

    if pictures.is_still(path, field=field):
        image = pictures.read_image(path, field=field, limits=limits)
        target = is_target(image, image.shape[1:3])
        target = np.repeat(target, len(footage.picks), axis=0)
    else:
        views = _moving_mask(path, footage, fps, is_target, field, limits)
        target = np.concatenate(views)
    require(
        bool(target.any()),
        f"{named} has no white inside the video, so nothing would be generated: "
        "paint the pixels to generate white",
    )
    return (~target).astype(np.float32)


def _moving_mask(
    path: PathLike,
    footage: Footage,
    fps: Number,
    is_target: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    field: str,
    limits: Limits,
) -> list[Bool[np.ndarray, "1 h w"]]:
    """Read which pixels are generated in each frame of a clip."""

    def view(shown: decoding.TimedFrame) -> np.ndarray:
        return is_target(video.to_float(shown.pixels())[None], shown.size)

    def frames() -> Iterator[decoding.TimedFrame]:
        return decoding.decode(path, field=field, limits=limits)

    # Two passes: how frames match the clip's depends on their number.
    count, seconds = 0, 0.0
    for shown in frames():
        count, seconds = count + 1, shown.begin + shown.length
    if count == footage.source_frames:
        wanted = set(footage.picks)
        views = {i: view(shown) for i, shown in enumerate(frames()) if i in wanted}
        return [views[index] for index in footage.picks]
    require(
        abs(seconds - footage.source_seconds) <= 1 / fps,
        f"{field} {quoted(path)} has {count} frames in {seconds:.3g} seconds, and the "
        f"video {footage.source_frames} in {footage.source_seconds:.3g}: give as many, "
        "or a picture, which serves every frame",
    )
    length = len(footage.picks)
    views = at_rate(frames(), fps, view, length).views
    return (views + views[-1:] * length)[:length]
