"""The records of a curation: one line of JSON for each shot and unreadable file.

`sora-jax data curate` writes them, and builders of datasets read them with
`read_curation`: they cut the shots and keep the scores, and a training's config
decides by the scores which clips it takes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sora_jax.data.curation import journal
from sora_jax.files import PathLike, quoted

# Of the definitions of all fields: shots of other versions are read again.
VERSION = 1
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Length: TypeAlias = Annotated[int, Meta(ge=1, le=2**20)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Score: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Hex: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]*$", max_length=256)]


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a frame, in pixels of the displayed size."""

    top: Count
    left: Count
    height: Length
    width: Length


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measures of a shot, inside its black borders.

    Attributes:
      duration: in seconds; 0 of a picture.
      motion: mean absolute change of the brightness of a pixel, in levels of 255 per
        1/24 second, at 64x64.
      sharpness: variance of the Laplacian of the brightness, in squared levels of 255,
        with the frame (and its borders) scaled down to a short side of 256 pixels, if
        it is larger; median of the sampled frames.
      exposure: mean brightness, from 0 (black) to 1 (white).
      contrast: standard deviation of the brightness, on the scale of exposure; mean of
        the sampled frames.
      clipped: share of pixels that are black or white within 4 levels of 255.
    """

    duration: Seconds
    motion: Score
    sharpness: Score
    exposure: Share
    contrast: Share
    clipped: Share


class CuratedShot(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="shot",
):
    """A stretch of a file without cuts.

    Attributes:
      file: path within the folder, with slashes.
      hash: of the file, see `hashes.of_file`.
      shot: number of the shot within the file, from 0.
      shots: number of shots of the file.
      start_frame: first frame, counted in the order of display.
      stop_frame: the frame after the last one.
      start_seconds: time of the first frame since the file's first one.
      stop_seconds: end of the last frame.
      height: rows as displayed.
      width: columns as displayed.
      fps: frames per second of the shot; 0 of a picture.
      crop: the frame without its black borders.
      is_still: nothing moves in it.
      is_loop: the last frame leads back to the first one.
      scores: its measures.
      fingerprint: perceptual hashes of four frames, see `fingerprints`.
      colours: mean colours of the parts of the frame, see `fingerprints`.
      duplicate_of: id of the shot that it is a near-duplicate of; "" if of none.
      version: of the definitions of the fields.
    """

    file: str
    hash: str
    shot: Count = 0
    shots: Length = 1
    start_frame: Count
    stop_frame: Count
    start_seconds: Seconds
    stop_seconds: Seconds
    height: Length
    width: Length
    fps: Annotated[float, Meta(ge=0, le=1e6)]
    crop: Box
    is_still: bool
    is_loop: bool
    scores: Scores
    fingerprint: Hex
    colours: Hex
    duplicate_of: str = ""
    version: int = VERSION

    def __post_init__(self):
        check_relative(self.file)
        if not 0 <= self.shot < self.shots:
            raise ValueError(f"shot {self.shot} is none of {self.shots} shots")
        if self.start_frame >= self.stop_frame:
            raise ValueError(
                f"stop_frame must be > start_frame {self.start_frame}, got "
                f"{self.stop_frame}"
            )
        if self.start_seconds > self.stop_seconds:
            raise ValueError(
                f"stop_seconds must be >= start_seconds {self.start_seconds}, got "
                f"{self.stop_seconds}"
            )
        bottom, right = (
            self.crop.top + self.crop.height,
            self.crop.left + self.crop.width,
        )
        if bottom > self.height or right > self.width:
            raise ValueError(
                f"crop must be inside {self.width}x{self.height}, got {self.crop}"
            )

    @property
    def id(self) -> str:
        """Name of the clip: `path.mp4`, or `path.mp4#2` if the file has more shots."""
        return clip_id(self.file, self.shot, self.shots)

    @property
    def has_borders(self) -> bool:
        """Whether it has black borders."""
        return (self.crop.height, self.crop.width) != (self.height, self.width)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.stop_frame - self.start_frame


class UnreadableFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="error",
):
    """A file that holds no usable clip, and why."""

    file: str
    hash: str
    error: str
    version: int = VERSION


Line: TypeAlias = CuratedShot | UnreadableFile


def clip_id(file: str, shot: int, shots: int) -> str:
    """Return the name of a clip within its folder."""
    return file if shots == 1 else f"{file}#{shot}"


def check_relative(file: str) -> None:
    """Check that a path stays within its folder.

    Raises:
      ValueError: it is absolute, empty, or has a `..`.
    """
    path = PurePosixPath(file)
    if not path.parts or path.is_absolute() or ".." in path.parts or "://" in file:
        raise ValueError(f"file must be a path within the folder, got {quoted(file)}")


def read_curation(path: PathLike, *, field: str = "--curation") -> list[CuratedShot]:
    """Read the shots of a finished curation.

    Args:
      path: the JSONL file that `sora-jax data curate` wrote; may be `gs://`.
      field: the flag or config field that error messages name.

    Returns:
      The shots in the order of the file; unreadable files are left out.

    Raises:
      ValueError: it is missing, or a line is damaged, or there are two shots of one id.
    """
    shots: dict[str, CuratedShot] = {}
    for line in journal.read(path, Line, field=field):
        if not isinstance(line, CuratedShot):
            continue
        if line.id in shots:
            raise ValueError(
                f"{field} {quoted(path)} has two shots {quoted(line.id)}: it was not "
                "finished; run the same `sora-jax data curate` again"
            )
        shots[line.id] = line
    return list(shots.values())
