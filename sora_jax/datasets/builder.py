"""Build a dataset part by part: a killed build goes on, parts are built anywhere.

TFDS begins a broken build anew, so a dataset is several: each part has a BuilderConfig
of its own, holds every n-th clip, and is complete or absent. Readers join them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
import tqdm
from etils import epath

from sora_jax import locking
from sora_jax.data.sources.listing import LeftOut
from sora_jax.data.sources.tfds_index import INFO, clips_of
from sora_jax.data.sources.tfds_store import LEFT_OUT
from sora_jax.datasets.parts import (
    WHOLE,
    Part,
    keys_of,
    recipe_hash,
    refuse_other_parts,
    refuse_other_recipe,
)
from sora_jax.datasets.records import Recipe, features, to_example
from sora_jax.files import PathLike
from sora_jax.workdir import explain_full_disk, write_bytes


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
        part: Part = WHOLE,
        beam: bool = False,
        **kwargs: Any,
    ):
        self.recipe, self.part, self.beam = recipe, part, beam
        self.left_out: list[LeftOut] = []
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
        keys = keys_of(self.recipe, self.part)
        if self.beam:
            return {split: self._beam_examples(names) for split, names in keys.items()}
        # TFDS refuses splits without records, so the first of each is made here.
        generators = {}
        for split, names in keys.items():
            examples = self._generate_examples(names)
            first = list(itertools.islice(examples, 1))
            if first:
                generators[split] = itertools.chain(first, examples)
        if not generators:
            raise NoClips
        return generators

    def _generate_examples(
        self, keys: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for key in tqdm.tqdm(keys, unit="clip", leave=False, disable=None):
            try:
                example = to_example(self.recipe.clip(key))
            except ValueError as error:
                self.left_out.append(LeftOut(key, str(error)))
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


class NoClips(Exception):
    """No clip of a part can be read."""


def build_part(
    kind: type[ClipDataset],
    recipe: Recipe,
    part: Part,
    data_dir: PathLike,
    beam_options: Any = None,
    digest: str = "",
) -> list[LeftOut]:
    """Build a part, unless it is complete; return the clips that were left out.

    Args:
      kind: of the dataset.
      recipe: of the dataset.
      part: to build.
      data_dir: folder of datasets.
      beam_options: of Apache Beam's pipeline; None builds without it.
      digest: hash of the recipe, if it was computed before.

    Raises:
      ValueError: the dataset has other parts or other clips already, or another
        process builds this part.
      OSError: the disk is full; complete parts are kept.
    """
    with tempfile.TemporaryDirectory() as downloads, _quiet():
        builder = kind(
            recipe=recipe,
            part=part,
            beam=beam_options is not None,
            data_dir=str(data_dir),
        )
        folder = epath.Path(builder.data_dir)
        refuse_other_parts(folder.parent.parent, part)
        digest = digest or recipe_hash(recipe)
        if (folder / LEFT_OUT).exists():
            refuse_other_recipe(folder.parent.parent, part, digest)
        else:
            lock = locking.only_run(folder.parent, field="--data_dir")
            with lock, explain_full_disk(folder, 0):
                refuse_other_recipe(folder.parent.parent, part, digest)
                _delete_broken(folder)
                _write(builder, folder, downloads, beam_options)
                missing = _missing(recipe, part, folder, builder.left_out)
                write_bytes(folder / LEFT_OUT, _lines(missing))  # marks it complete
    rows = map(json.loads, (folder / LEFT_OUT).read_text().splitlines())
    return [LeftOut(row["id"], row["reason"]) for row in rows]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence TFDS: its prints, its bars, and warnings of configs of no class."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


def _write(
    builder: ClipDataset, folder: epath.Path, downloads: str, beam_options: Any
) -> None:
    if not (folder / INFO).exists():
        config = tfds.download.DownloadConfig(beam_options=beam_options)
        with contextlib.suppress(NoClips):
            builder.download_and_prepare(download_dir=downloads, download_config=config)


def _delete_broken(folder: epath.Path) -> None:
    """Delete what a killed build of the same part has left."""
    for path in folder.parent.glob(f"incomplete.*_{folder.name}"):
        path.rmtree()


def _missing(
    recipe: Recipe, part: Part, folder: epath.Path, left_out: Sequence[LeftOut]
) -> list[LeftOut]:
    """Return the clips of a part without a record, with the reason of each."""
    reasons = dict(left_out)
    missing = []
    is_built = (folder / INFO).exists()  # not if no clip can be read
    for split, keys in keys_of(recipe, part).items():
        built = {each.name for each in clips_of(folder, split)} if is_built else set()
        for key in keys:
            if key not in built:
                missing.append(LeftOut(key, reasons.get(key) or _reason(recipe, key)))
    return missing


def _reason(recipe: Recipe, key: str) -> str:
    """Return why a clip was left out by a worker, or before the build was killed."""
    try:
        to_example(recipe.clip(key))
    except ValueError as error:
        return str(error)
    return "it could not be read when the dataset was built"


def _lines(rows: Sequence[LeftOut]) -> bytes:
    texts = (json.dumps({"id": row.name, "reason": row.reason}) for row in rows)
    return "".join(f"{text}\n" for text in texts).encode()
