"""Where weights are: a folder, or several files."""

from __future__ import annotations

import dataclasses

from sora_jax.files import PathLike


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsFiles:
    """Weights that are not all in one folder; each file is a .safetensors.

    Attributes:
      base: a folder of Wan's weights, or a file with a transformer.
      transformer: a transformer in place of the folder's.
      transformer_low: that of the low noise levels, in models that have two.
      vae: the VAE.
      text_encoder: the text encoder.
      picture_encoder: CLIP's vision tower, of models that read pictures through it.
      tokenizer: the text encoder's SentencePiece model.
    """

    base: PathLike
    transformer: PathLike | None = None
    transformer_low: PathLike | None = None
    vae: PathLike | None = None
    text_encoder: PathLike | None = None
    picture_encoder: PathLike | None = None
    tokenizer: PathLike | None = None

    @property
    def parts(self) -> dict[str, PathLike]:
        """The files that are given beside the base."""
        return {
            item.name: value
            for item in dataclasses.fields(self)
            if item.name != "base" and (value := getattr(self, item.name)) is not None
        }


# A folder of weights, the file of a transformer, or several files.
Place = PathLike | WeightsFiles
PARTS = tuple(item.name for item in dataclasses.fields(WeightsFiles))[1:]


def base_of(place: Place) -> PathLike:
    """Return the folder of weights, or the file of their transformer."""
    return place.base if isinstance(place, WeightsFiles) else place
