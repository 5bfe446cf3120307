"""Estimate the backdrop: background, camera move and light.

Frames are compared with renderings of every background from every camera view; the best
fit is the backdrop.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Float32

from sora_jax.worlds.playground import world
from sora_jax.worlds.playground.judge import light, views

_CLIP = 0.15  # larger differences are outliers, and count as this
_SOME = 5  # subsampling of pixels for a median
_BLURS = (0.0, 0.008, 0.0125, 0.018, 0.025)  # units
_ENOUGH = 0.5  # part of the world's full pan or zoom that counts as one
_CUT_GAIN = 0.25  # how much better two backdrops must fit, in frames of full misfit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backdrop:
    """The backdrop of a run of frames.

    Attributes:
      background: a name in `world.BACKGROUNDS`.
      camera: a name in `world.CAMERAS`.
      light: a name in `world.LIGHTS`.
      pan: how far the camera is to the right, as a fraction of the view's width.
      eye: (x, y) in world units of the middle of the image.
      zoom: magnification.
      brightness: 1 is full light.
      blur: how soft the frames are, in world units.
      painted: the background in full light, as sharp as the frames are, in [0, 1].
      relit: the frames in full light, in [0, 1].
    """

    background: str
    camera: str
    light: str
    pan: Float[np.ndarray, " t"]
    eye: Float[np.ndarray, "t 2"]
    zoom: Float[np.ndarray, " t"]
    brightness: Float[np.ndarray, " t"]
    blur: float
    painted: Float32[np.ndarray, "t h w 3"]
    relit: Float32[np.ndarray, "t h w 3"]

    def to_world(
        self, pixels: Float[np.ndarray, "n 2"], frame: int
    ) -> Float[np.ndarray, "n 2"]:
        """Convert points (x, y) of an image to world coordinates."""
        height, width = self.painted.shape[1:3]
        scale = math.sqrt(height * width) * self.zoom[frame]
        return (pixels - np.array([width, height]) / 2) / scale + self.eye[frame]


def costs(pixels: Float32[np.ndarray, "t h w 3"]) -> Float32[np.ndarray, "t b s"]:
    """Return how badly each background fits each frame, in each camera view.

    Args:
      pixels: in [0, 1].
    """
    painted = views.painted_table(*pixels.shape[1:3])
    some = slice(None, None, _SOME)
    grey = np.sum(painted, axis=0)[:, :, some]
    result = np.empty((len(pixels), *grey.shape[:2]), np.float32)
    for number, frame in enumerate(views.thinned(pixels)):
        ratio = np.median(frame[some].sum(axis=-1) / grey, axis=-1)
        gain = light.gain(light.brightness_of(ratio))[..., None].astype(np.float32)
        misfit = light.largest_difference(
            painted[channel] * gain[:, :, channel] - frame[:, channel]
            for channel in range(3)
        )
        result[number] = np.minimum(misfit, _CLIP).mean(axis=-1) / _CLIP
    return result


def find_cut(costs: Float32[np.ndarray, "t b s"], shortest: int) -> tuple[int, float]:
    """Find the frame at which the backdrop most likely changes, with a score.

    Args:
      costs: see `costs`.
      shortest: the fewest frames that a stretch may have.

    Returns:
      The frame, and how much better two backdrops explain the clip than one; above 1
      there is a cut.
    """
    frames = len(costs)
    frame_numbers = range(shortest, frames - shortest + 1)
    if not frame_numbers:
        return 0, 0.0
    # One camera may take any path, so that an unusual path does not look like a cut.
    whole = _best(costs, views.any_paths(frames))[0]
    parts = [
        _best(costs[:number], views.world_paths(number))[0]
        + _best(costs[number:], views.world_paths(frames - number))[0]
        for number in frame_numbers
    ]
    best = int(np.argmin(parts))
    return frame_numbers[best], float(whole - parts[best]) / _CUT_GAIN


def fit(
    pixels: Float32[np.ndarray, "t h w 3"], costs: Float32[np.ndarray, "t b s"]
) -> Backdrop:
    """Fit one background, camera move and light to frames without a cut.

    Args:
      pixels: in [0, 1].
      costs: of these frames, see `costs`.
    """
    frames, height, width, _ = pixels.shape
    paths = views.world_paths(frames)
    cost, name, number = _best(costs, paths)
    # Prefer a path of the world unless another fits clearly better.
    any_path = views.any_paths(frames)
    any_cost, any_name, any_number = _best(costs, any_path)
    if any_cost < 0.97 * cost - 0.002 * frames:
        name, paths, number = any_name, any_path, any_number
    pan, zoom = paths.pan[number], paths.zoom[number]
    background = views.NAMES[name]
    painted = views.paint_view(background, pan, zoom, height, width)
    brightness = light.measure_brightness(pixels, painted)
    gain = light.gain(brightness)[:, None, None].astype(np.float32)
    relit = pixels / gain
    blur = _blur_of(relit, painted)
    return Backdrop(
        background=background,
        camera=_name_camera(pan, zoom),
        light=light.name_light(brightness),
        pan=pan,
        eye=views.eye_of(pan, height, width),
        zoom=zoom,
        brightness=brightness,
        blur=blur,
        painted=views.softened(painted, blur),
        relit=relit,
    )


def _best(costs: np.ndarray, paths: views.Paths) -> tuple[float, int, int]:
    """Return the cost, the background and the path that fit best."""
    # [path t b], summed over the frames.
    total = costs[np.arange(len(costs))[None], :, paths.views].sum(axis=1)
    path, name = np.unravel_index(np.argmin(total), total.shape)
    return float(total[path, name]), int(name), int(path)


def _blur_of(pixels: np.ndarray, painted: np.ndarray) -> float:
    """Return the blur that makes a rendering as soft as the pixels."""
    some = slice(None, None, max(1, len(pixels) // 4))
    misfits = []
    for blur in _BLURS:
        change = views.softened(painted[some], blur) - pixels[some]
        misfit = np.minimum(light.largest_difference(np.moveaxis(change, -1, 0)), _CLIP)
        misfits.append(float(misfit.mean()))
    return _BLURS[int(np.argmin(misfits))]


def _name_camera(pan: np.ndarray, zoom: np.ndarray) -> str:
    moved = (pan[-1] - pan[0]) / world.PAN_DISTANCE
    zoomed = math.log(zoom[-1] / zoom[0]) / math.log(world.ZOOM_RATIO)
    if abs(zoomed) >= _ENOUGH:
        return "zoom in" if zoomed > 0 else "zoom out"
    if abs(moved) >= _ENOUGH:
        return "pan right" if moved > 0 else "pan left"
    return "still"
