"""Build a dataset part by part: a killed build goes on, parts are built anywhere.

TFDS begins a broken build anew, so a dataset is several: each part has a BuilderConfig
of its own, holds every n-th clip, and is complete or absent. Readers join them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from etils import epath

from sora_jax.data.sources.tfds_store import INFO, index_path, write_index
from sora_jax.datasets.records import Recipe, features, to_example
from sora_jax.files import PathLike
from sora_jax.workdir import explain_full_disk, write_bytes

PART_CLIPS = 1024  # clips in a part, unless parts are given
LEFT_OUT = "left_out.jsonl"  # clips that could not be read, with the reason


@dataclasses.dataclass(frozen=True)
class Part:
    """Which of the clips: every `of`-th, from clip `number`."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """Of the part's BuilderConfig, and of its folder."""
        return f"part-{self.number:05d}-of-{self.of:05d}"


class ClipDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS dataset of the clips of a recipe, or of a part of them.

    Args:
      recipe: how the clips are made.
      part: which of them.
      beam: make them with Apache Beam, by any of its runners.
      **kwargs: of `tfds.core.DatasetBuilder`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Encoded bytes, captions, scores."}
    # Nothing is downloaded by TFDS, which would look for checksums with a package that
    # it does not depend on.
    url_infos: ClassVar = {}

    def __init__(
        self,
        *,
        recipe: Recipe,
        part: Part = Part(0, 1),
        beam: bool = False,
        **kwargs: Any,
    ):
        self.recipe, self.part, self.beam = recipe, part, beam
        self.left_out: list[dict[str, str]] = []
        config = tfds.core.BuilderConfig(name=part.name, version=self.VERSION)
        super().__init__(config=config, file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # A generator's order is kept: readers shuffle, and keys need not be hashed.
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=features(),
            disable_shuffling=not self.beam,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # packages are fetched by the recipe, before the build
        make = self._beam_examples if self.beam else self._generate_examples
        mine = slice(self.part.number, None, self.part.of)
        return {split: make(keys[mine]) for split, keys in self.recipe.splits().items()}

    def _generate_examples(
        self, keys: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for key in keys:
            try:
                example = to_example(self.recipe.clip(key))
            except ValueError as error:
                self.left_out.append({"id": key, "reason": str(error)})
                continue
            yield key, example

    def _beam_examples(self, keys: Sequence[str]) -> Any:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]

        return beam.Create(list(keys)) | beam.FlatMap(MakeExample(self.recipe))


@dataclasses.dataclass(frozen=True)
class MakeExample:
    """Makes the record of a key, on any worker; leaves out what cannot be read."""

    recipe: Recipe

    def __call__(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return one record, or none."""
        try:
            return [(key, to_example(self.recipe.clip(key)))]
        except ValueError:
            return []


def parts_of(recipe: Recipe, count: int = 0) -> list[Part]:
    """Return the parts of a dataset.

    Args:
      recipe: of the dataset.
      count: how many parts; 0 chooses by the number of clips.
    """
    clips = sum(map(len, recipe.splits().values()))
    of = count or max(1, math.ceil(clips / PART_CLIPS))
    return [Part(number, of) for number in range(of)]


def build_part(
    kind: type[ClipDataset],
    recipe: Recipe,
    part: Part,
    data_dir: PathLike,
    beam_options: Any = None,
) -> list[dict[str, str]]:
    """Build a part, unless it is complete; return the clips that were left out.

    Raises:
      ValueError: no clip of the part can be read.
      OSError: the disk is full; complete parts are kept.
    """
    builder = kind(
        recipe=recipe,
        part=part,
        beam=beam_options is not None,
        data_dir=str(data_dir),
    )
    folder = epath.Path(builder.data_dir)
    if not (folder / INFO).exists():
        download = tfds.download.DownloadConfig(beam_options=beam_options)
        with explain_full_disk(folder, 0):
            builder.download_and_prepare(download_config=download)
        write_bytes(folder / LEFT_OUT, _lines(builder.left_out))
    for split in builder.info.splits:
        if not index_path(folder, split).exists():
            write_index(folder, split)
    if not (folder / LEFT_OUT).exists():
        return []
    lines = (folder / LEFT_OUT).read_text().splitlines()
    return [json.loads(line) for line in lines]


def _lines(rows: Sequence[Mapping[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
