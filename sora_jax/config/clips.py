"""Config of clips that are stored: a TFDS dataset, or a folder of files."""

from __future__ import annotations

import dataclasses
import math

from sora_jax.config.plain import FPS, require_within
from sora_jax.files import quoted

# What a source of clips is, by the beginning of `ClipsConfig.path`.
TFDS = "tfds:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Stored clips: how they are read, and which."""

    # A folder of clips with captions, the folder of a TFDS dataset (the one with its
    # dataset_info.json), or tfds:NAME for one below TFDS_DATA_DIR.
    path: str = ""
    # Split of a dataset, in TFDS's notation, such as "train" or "train[:90%]". Of a
    # folder, clips are split by their names: "train", "validation" or "all".
    split: str = "train"
    # Split of the held-out clips; it shares none with the split of training.
    held_out: str = "validation"
    # (feature, feature) of video and caption, for records of other datasets.
    fields: tuple[str, str] = ("video", "captions")
    # Frames per second at which clips are read.
    fps: float = 8.0
    # Frames in a latent frame of the VAE: lengths are 1 + time_factor * k.
    time_factor: int = 4
    # Most frames of a clip; longer footage is several clips.
    frames: int = 25
    # Fewest frames of a clip; shorter footage is left out, pictures too if above 1.
    least_frames: int = 1
    # Most pixels of a frame; larger ones are scaled down, in their own aspect ratio.
    pixels: int = 128 * 128
    # Height and width are multiples of this many pixels; smaller clips are left out.
    multiple: int = 16
    # (height, width) of every clip, cropped to it; (0, 0) keeps their aspect ratios.
    size: tuple[int, int] = (0, 0)
    # (score, least, most): keep clips whose score is within, and those without it.
    cuts: tuple[tuple[str, float, float], ...] = ()
    # Keep this many of the clips, from the first; 0 keeps all.
    length: int = 0

    def __post_init__(self):
        bounds = {"fps": FPS, "time_factor": (1, math.inf), "frames": (1, math.inf)}
        bounds |= {"multiple": (1, math.inf), "pixels": (256, math.inf)}
        bounds |= {"length": (0, math.inf), "least_frames": (1, math.inf)}
        factor, sizes = max(1, self.time_factor), (0, *self.size)
        require_within(
            "data.",
            self,
            bounds,
            (
                (self.frames - 1) % factor == 0,
                f"data.frames must be 1 + {factor}k (data.time_factor {factor}), got "
                f"{self.frames}",
            ),
            (
                self.least_frames <= self.frames,
                f"data.least_frames must be at most data.frames ({self.frames}), got "
                f"{self.least_frames}",
            ),
            (
                self.pixels >= self.multiple**2,
                f"data.pixels must be at least {self.multiple}x{self.multiple} "
                f"(data.multiple), got {self.pixels}",
            ),
            (
                min(sizes) >= 0
                and (min(self.size) > 0 or max(self.size) == 0)
                and not any(side % max(1, self.multiple) for side in self.size),
                f"data.size must be (0, 0), or (height, width) in multiples of "
                f"{self.multiple} (data.multiple), got {self.size}",
            ),
            (
                all(low <= high for _, low, high in self.cuts),
                f"data.cuts must be (score, least, most), got {quoted(self.cuts)}",
            ),
        )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Frames that clips may have."""
        return tuple(range(self.frames, self.least_frames - 1, -self.time_factor))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) that clips may have; none if it depends on the files."""
        return (self.size,) if min(self.size) > 0 else ()
