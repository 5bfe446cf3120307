"""Read the files of a task, at the size and frame rate of the video."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from sora_jax import files
from sora_jax.config import Fit, SamplingConfig
from sora_jax.data import arrays, footage, mask_files, pictures
from sora_jax.data.storyboard import StoryboardFile, read_storyboard
from sora_jax.data.video import fit, to_float
from sora_jax.limits import LIMITS, Limits
from sora_jax.sampling.limit_checks import too_many
from sora_jax.sampling.segments import Clip
from sora_jax.sampling.tasks.edit import check_larger


@dataclasses.dataclass(frozen=True, kw_only=True)
class MediaFiles:
    """Read a task's files; arrays pass unchanged.

    Attributes:
      settings: target size and frame rate.
      fit: how files are resized.
      limits: bounds on files.
      prefix: of fields in messages: "--" if they are flags.
    """

    settings: SamplingConfig
    fit: Fit = "crop"
    limits: Limits = LIMITS
    prefix: str = ""

    def video(self, video: Any, field: str = "video") -> Clip:
        """Read a clip.

        Raises:
          ValueError: the file is missing, damaged, no video, or exceeds the limits.
        """
        if not isinstance(video, str):
            return video
        return to_float(self._footage(video, field).clip.pixels)

    def enlarged(self, video: Any) -> Clip:
        """Read a clip and enlarge it to the size of the video.

        Raises:
          ValueError: the size is not larger than the clip's; or see `video`.
        """
        size = self.settings.size
        if isinstance(video, str):
            found = self._footage(video)
            check_larger(size, found.source_size)
            return to_float(found.clip.pixels)
        check_larger(size, video.shape[1:3])
        if not any(video.strides):  # of a dry run: one grey pixel stands for all
            return np.broadcast_to(video[:1, :1, :1], (len(video), *size, 3))
        return fit(video, *size)

    def picture(self, picture: Any, field: str) -> Clip:
        """Read one frame.

        Raises:
          ValueError: the file is missing, damaged, no picture, or exceeds the limits.
        """
        if not isinstance(picture, str):
            return picture
        return footage.read_image(
            picture,
            size=self.settings.size,
            fit=self.fit,
            field=self.prefix + field,
            limits=self.limits,
        )

    def original(self, picture: Any, field: str) -> Float[np.ndarray, "h w 3"]:
        """Read a picture as it is, not resized.

        Raises:
          ValueError: the file is missing, damaged, no picture, or exceeds the limits.
        """
        if not isinstance(picture, str):
            return picture[0]
        return pictures.read_image(
            picture, field=self.prefix + field, limits=self.limits
        )[0]

    def masked_video(
        self, video: Any, mask: Any
    ) -> tuple[Clip, Float[np.ndarray, "t h w"]]:
        """Read a clip and its mask, 1 where it is repainted.

        Raises:
          ValueError: a file is missing or damaged, or the mask differs from the clip
            in size or length, or masks nothing.
        """
        if not isinstance(mask, str):
            return self.video(video), mask
        if not isinstance(video, str):
            raise ValueError(
                "mask must be an array where the video is one, got "
                + files.quoted(mask)
            )
        found = self._footage(video)
        field = f"{self.prefix}mask"
        given = mask_files.read_mask(mask, found, field=field, **self._how())
        return to_float(found.clip.pixels), 1 - given

    def noise(self, noise: Any) -> np.ndarray | None:
        """Read initial latents `[b t h w z]`.

        Raises:
          ValueError: the file is missing, or not an array of finite floats.
        """
        if not isinstance(noise, str):
            return noise
        field = self.prefix + ("init-noise" if self.prefix else "init_noise")
        return read_noise(noise, field, self.limits)

    def storyboard(self, given: Any) -> StoryboardFile:
        """Read a storyboard, unless it was read before.

        Raises:
          ValueError: the file is missing or invalid.
        """
        if isinstance(given, StoryboardFile):
            return given
        return read_storyboard(
            given, field=f"{self.prefix}storyboard", limits=self.limits
        )

    def _footage(self, path: str, field: str = "video") -> footage.Footage:
        return footage.read_footage(path, field=self.prefix + field, **self._how())

    def _how(self) -> dict[str, Any]:
        fps, size = self.settings.fps, self.settings.size
        return {"fps": fps, "size": size, "fit": self.fit, "limits": self.limits}


def read_noise(path: str | os.PathLike, field: str, limits: Limits) -> np.ndarray:
    """Read initial latents `[b t h w z]`.

    Raises:
      ValueError: the file is missing, or not an array of finite floats.
    """
    noise = arrays.open_array(path, field=field, limits=limits)
    where = f"{field} {files.quoted(path)}"
    if not np.issubdtype(noise.dtype, np.floating):
        raise ValueError(
            f"{where} must hold one array of floating-point numbers, got "
            f"{noise.dtype}: save it with np.save"
        )
    if noise.size > limits.noise:
        raise ValueError(too_many("init_noise", "numbers", noise.size, limits.noise))
    noise = np.asarray(noise, np.float32)
    return noise[None] if noise.ndim == 4 else noise
