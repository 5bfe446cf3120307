"""Encoded clips on disk: ArrayRecord shards and an index of their shapes.

A record has what training needs of one clip: its latents, the conditioning channels of
the pixels that are given of it, and its captions in several phrasings. Of each clip
there may be several draws, records of equal shape, which follow one another.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import grain
import msgspec
import numpy as np
import safetensors.numpy
from etils import epath
from jaxtyping import Float

from sora_jax import hashes, limits
from sora_jax.data.planning import LatentSpec
from sora_jax.data.shard_files import write_array_record
from sora_jax.files import PathLike
from sora_jax.workdir import read_json, write_json

MOST_TEXT = 2**24  # characters that an index lists
FORMAT = "safetensors"  # of a record
AGAIN = "delete that shard and its index, and start the encode command again"
_EXTRA_BEFORE = "known"  # what `Record.extra` was called up to version 0.1
_FOUR = msgspec.Meta(min_length=4, max_length=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One encoded clip.

    Attributes:
      latents: normalised latents of the whole clip.
      extra: conditioning channels (mask, latents of the given pixels), as those of
        `types.Tokens`; zeros where nothing is given.
      captions: phrasings of the whole clip.
      stretches: for each stretch of time, its first latent frame and its phrasings.
    """

    latents: Float[np.ndarray, "t h w z"]
    extra: Float[np.ndarray, "t h w q"]
    captions: tuple[str, ...]
    stretches: tuple[tuple[int, tuple[str, ...]], ...]


def to_bytes(record: Record) -> bytes:
    """Serialize a record; latents in half precision."""
    text = {"captions": record.captions, "stretches": record.stretches}
    # Zeros, as most clips have them, need no room.
    extra = record.extra if record.extra.any() else record.extra[:0]
    return safetensors.numpy.save(
        {
            "latents": np.ascontiguousarray(record.latents, np.float16),
            "extra": np.ascontiguousarray(extra, np.float16),
            "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
        }
    )


def from_bytes(data: bytes) -> Record:
    """Undo `to_bytes`."""
    # Not NumPy's format: in Python 3.11, parsing its headers is not thread-safe.
    arrays = safetensors.numpy.load(data)
    text = json.loads(arrays["text"].tobytes())
    extra = arrays["extra"] if "extra" in arrays else arrays[_EXTRA_BEFORE]
    if not len(extra):
        extra = np.zeros((*arrays["latents"].shape[:3], extra.shape[3]), np.float16)
    return Record(
        latents=arrays["latents"].astype(np.float32),
        extra=extra.astype(np.float32),
        captions=tuple(text["captions"]),
        stretches=tuple((start, tuple(texts)) for start, texts in text["stretches"]),
    )


class Serialized(NamedTuple):
    """A record as it is stored, and what the index of its shard says of it."""

    content: bytes
    shape: tuple[int, ...]
    stretches: int
    texts: frozenset[str]


def serialize(record: Record) -> Serialized:
    """Serialize a record for `write_serialized`: half its size in memory, or less."""
    return Serialized(
        to_bytes(record),
        record.latents.shape,
        len(record.stretches),
        frozenset(_texts_of(record)),
    )


def _texts_of(record: Record) -> Iterator[str]:
    yield from record.captions
    for _, texts in record.stretches:
        yield from texts


def write_shard(
    folder: PathLike, number: int, records: Iterable[Record], draws: int = 1
) -> None:
    """Write a shard atomically; see `write_serialized`."""
    write_serialized(folder, number, [serialize(record) for record in records], draws)


def write_serialized(
    folder: PathLike, number: int, records: Sequence[Serialized], draws: int = 1
) -> None:
    """Write a shard atomically: its records, then the index, which completes it.

    Args:
      folder: of the shards.
      number: of this one.
      records: the draws of one clip after those of another.
      draws: of each clip.
    """
    folder = epath.Path(folder)
    target = folder / f"{number:05d}.arrayrecord"
    write_array_record(target, [record.content for record in records])
    shapes = [
        {"shape": list(record.shape), "stretches": record.stretches}
        for record in records[::draws]
    ]
    index: dict[str, Any] = {"format": FORMAT, "records": shapes, "draws": draws}
    texts = sorted(frozenset().union(*(record.texts for record in records)))
    if sum(map(len, texts)) <= MOST_TEXT:
        index["captions"] = texts
    index["hash"] = hashes.of_json(index)
    write_json(target.with_suffix(".json"), index)


def has_shard(folder: PathLike, number: int) -> bool:
    """Return whether a shard is complete."""
    return (epath.Path(folder) / f"{number:05d}.json").exists()


def captions_in(folder: PathLike) -> set[str]:
    """Return every caption of a folder of shards.

    Indices list them. Shards of earlier versions, or with more than 16 MB of text, are
    read whole, latents too.

    Raises:
      ValueError: the folder holds no complete shard, or a damaged one.
    """
    found: set[str] = set()
    for shard, index in _shards(folder):
        if index.captions is not None:
            found.update(index.captions)
            continue
        source: Any = grain.sources.ArrayRecordDataSource([str(shard)])
        for number in range(len(source)):
            try:
                found.update(_texts_of(from_bytes(source[number])))
            except Exception as error:
                raise _damaged(str(shard), error) from error
    return found


class Records:
    """Random access to the records of several folders of shards."""

    def __init__(self, *folders: PathLike):
        """Read the indices.

        Raises:
          ValueError: a folder holds no complete shard, or one that is damaged or of
            another version.
        """
        self.index: list[LatentSpec] = []
        self._paths, self._ends = [], []
        self._draws: list[tuple[int, int]] = []  # of each clip: its first record, count
        self.folder_of: list[int] = []  # of each clip: the number of its folder
        stored = 0
        for number, folder in enumerate(folders):
            for shard, index in _shards(folder):
                entries = [_spec(each.shape, each.stretches) for each in index.records]
                draws = index.draws or 1
                self.folder_of += [number] * len(entries)
                self._paths.append(str(shard))
                self.index += entries
                self._ends.append(len(self.index))
                self._draws += [
                    (stored + i * draws, draws) for i in range(len(entries))
                ]
                stored += len(entries) * draws
        try:
            # It counts the records, for which it reads the end of each file.
            source: Any = grain.sources.ArrayRecordDataSource(self._paths)
            self._source, found = source, len(source)
        except Exception as error:
            raise _damaged(", ".join(map(str, folders)), error) from error
        if found != stored:
            told = f"{found} records in the place of {stored}"
            raise _damaged(", ".join(map(str, folders)), told)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.index)

    def draws(self, number: int) -> int:
        """Return of how many draws a clip has records."""
        return self._draws[number][1]

    def __getitem__(self, number: int) -> Record:
        """Read the first draw of a clip; see `read`."""
        return self.read(number)

    def read(self, number: int, draw: int = 0) -> Record:
        """Read a draw of a clip.

        Raises:
          ValueError: its shard is damaged: each record has a hash of its own.
        """
        first, draws = self._draws[number]
        try:
            record = from_bytes(self._source[first + draw % draws])
        except Exception as error:
            shard = self._paths[bisect.bisect_right(self._ends, number)]
            raise _damaged(shard, error) from error
        if _spec(record.latents.shape, len(record.stretches)) != self.index[number]:
            shard = self._paths[bisect.bisect_right(self._ends, number)]
            raise _damaged(shard, f"record {number} differs from the index")
        return record

    def __repr__(self) -> str:
        """Describe the source, without its contents."""
        return f"Records({len(self)})"


class _Entry(msgspec.Struct):
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=1)]], _FOUR]
    stretches: Annotated[int, msgspec.Meta(ge=1)]


class _Index(msgspec.Struct):
    format: str
    records: list[_Entry]
    draws: Annotated[int, msgspec.Meta(ge=1)] | None = None  # earlier versions: one
    captions: list[str] | None = None  # of all records, each once
    hash: str = ""  # of the rest; earlier versions had none


def _spec(shape: Sequence[int], stretches: int) -> LatentSpec:
    frames, height, width, _ = shape
    return LatentSpec(frames=frames, height=height, width=width, stretches=stretches)


def _shards(folder: PathLike) -> Iterator[tuple[epath.Path, _Index]]:
    """Yield each shard of a folder, with its index."""
    indices = sorted(
        path
        for path in epath.Path(folder).glob("*.json")
        if re.fullmatch(r"\d+\.json", path.name)
    )
    if not indices:
        raise ValueError(
            f"{str(folder)!r} holds no encoded clips: run train.py "
            "with an encode config first (configs/playground_encode.py)"
        )
    for path in indices:
        told = read_json(path, AGAIN, _Index, limits.TEXT_BYTES)
        if told.format != FORMAT:
            raise ValueError(
                f"{str(folder)!r} holds clips in the format "
                f"{told.format!r}, not {FORMAT!r}: encode them again"
            )
        index = msgspec.to_builtins(told)
        for name in ("draws", "captions"):
            if index[name] is None:
                del index[name]
        if index.pop("hash") not in ("", hashes.of_json(index)):
            raise _damaged(str(path), "its hash differs from the recorded one")
        shard = path.with_suffix(".arrayrecord")
        if not shard.is_file():
            raise _damaged(str(shard), "it is missing, or is no file")
        yield shard, told


def _damaged(path: str, error: Any) -> ValueError:
    reason = str(error).partition("\n")[0]
    return ValueError(
        f"encoded clips {path!r} are damaged ({reason[: limits.QUOTED]}): {AGAIN}"
    )
