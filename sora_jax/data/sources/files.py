"""A clip source of listed video files with captions."""

from __future__ import annotations

import dataclasses

from sora_jax.config import Fit, require
from sora_jax.data import footage
from sora_jax.data.sources.protocol import (
    ClipSpec,
    Size,
    captions_between,
    frame_range,
)
from sora_jax.files import PathLike, quoted
from sora_jax.types import Caption, Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A video file and its caption.

    Attributes:
      path: see `footage.read_footage`.
      frames: number of its first frames in the clip.
      caption: of the clip; may be empty.
    """

    path: PathLike
    frames: int
    caption: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """Video files as clips of one rate and size.

    Attributes:
      files: one for each clip.
      fps: frames per second of the clips.
      size: (height, width) of the clips.
      fit: how frames are resized, see `video.fit`.
    """

    files: tuple[VideoFile, ...]
    fps: float
    size: Size
    fit: Fit = "crop"

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.files)

    def spec(self, index: int) -> ClipSpec:
        """Describe a clip without opening its file."""
        file, (height, width) = self.files[index], self.size
        captions = ()
        if file.caption:
            captions = (Caption(texts=(file.caption,), start=0, stop=file.frames),)
        return ClipSpec(
            frames=file.frames,
            height=height,
            width=width,
            fps=self.fps,
            captions=captions,
        )

    def read(
        self,
        index: int,
        start: int = 0,
        frames: int | None = None,
        size: Size | None = None,
    ) -> Clip:
        """Decode a clip, or a part of it.

        Raises:
          ValueError: the file cannot be read, or has fewer frames than the clip.
        """
        spec = self.spec(index)
        start, stop = frame_range(spec, start, frames)
        path = self.files[index].path
        found = footage.read_footage(
            path,
            fps=self.fps,
            size=size or self.size,
            fit=self.fit,
            field="files",
            frames=stop,
        )
        pixels = found.clip.pixels[start:]
        require(
            len(pixels) == stop - start,
            f"files: {quoted(path)} must have {spec.frames} frames at {self.fps:g} "
            f"frames per second, got {start + len(pixels)}: lower its frames",
        )
        captions = captions_between(spec.captions, start, stop)
        return Clip(pixels=pixels, fps=self.fps, captions=captions)
