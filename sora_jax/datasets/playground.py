"""The dataset `playground`: rendered clips, encoded, with their ground truth."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from sora_jax.config import PlaygroundConfig
from sora_jax.data import encoders, pictures
from sora_jax.data.sources.probing import STILL_RATE
from sora_jax.data.sources.stored import StoredSpec
from sora_jax.datasets.builder import ClipDataset
from sora_jax.datasets.records import StoredClip
from sora_jax.worlds.playground.source import Playground

# Split of a dataset -> that of the playground. What is held out shows combinations that
# are never trained on.
SPLITS = {"train": "train", "validation": "test"}


class PlaygroundDataset(ClipDataset):
    """Captioned clips of moving coloured shapes, with what is where in each frame."""

    name = "playground"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaygroundRecipe:
    """Clips of the playground.

    Attributes:
      config: of the training clips, and how many there are.
      held_out: number of clips of the split for validation.
    """

    config: PlaygroundConfig
    held_out: int = 0

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Return the names of clips: their split and number."""
        counts = {"train": self.config.length, "validation": self.held_out}
        return {
            split: [f"{split}-{number:09d}" for number in range(count)]
            for split, count in counts.items()
        }

    def inputs(self) -> Any:
        """Return the config of the clips."""
        return msgspec.to_builtins(dataclasses.asdict(self))

    def clip(self, key: str) -> StoredClip:
        """Render a clip: visually lossless mp4, or PNG for a picture."""
        split, _, number = key.rpartition("-")
        counts = {"train": self.config.length, "validation": self.held_out}
        config = dataclasses.replace(
            self.config, split=SPLITS[split], length=counts[split]
        )
        world, index = Playground(config), int(number)
        spec = world.spec(index)
        pixels = world.read(index).pixels
        if spec.frames == 1:
            file = io.BytesIO()
            pictures.write_png(file, pixels[0])
            content, fps = file.getvalue(), STILL_RATE
        else:
            content, fps = encoders.mp4_bytes([pixels], spec.fps, "yuv444p"), spec.fps
        spec = dataclasses.replace(spec, fps=fps, truth=as_json(spec.truth))
        return StoredClip(stored=StoredSpec(name=key, spec=spec), content=content)


def as_json(truth: Any) -> Any:
    """Return ground truth as JSON data; numbers are kept to five decimals."""
    return msgspec.to_builtins(truth, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value.astype(np.float64), 5).tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} is not JSON data")
