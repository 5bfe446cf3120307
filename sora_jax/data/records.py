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
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import grain
import msgspec
import numpy as np
import safetensors.numpy
from array_record.python.array_record_module import (
    ArrayRecordWriter,  # pyright: ignore[reportAttributeAccessIssue]
)
from etils import epath
from jaxtyping import Float

from sora_jax import hashes, limits
from sora_jax.data.planning import LatentSpec
from sora_jax.files import PathLike
from sora_jax.workdir import explain_full_disk, read_json, write_json

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


def write_shard(
    folder: PathLike, number: int, records: Sequence[Record], draws: int = 1
) -> None:
    """Write a shard atomically: records under a temporary name, then the index.

    Args:
      folder: of the shards.
      number: of this one.
      records: the draws of one clip after those of another.
      draws: of each clip.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{number:05d}.arrayrecord"
    temporary = target.with_suffix(".partial")
    contents = [to_bytes(record) for record in records]
    size = sum(map(len, contents))
    try:
        with explain_full_disk(target, size):
            writer = ArrayRecordWriter(str(temporary), "group_size:1")
            for content in contents:
                writer.write(content)
            writer.close()
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    shapes = [
        {"shape": list(r.latents.shape), "stretches": len(r.stretches)}
        for r in records[::draws]
    ]
    index: dict[str, Any] = {"format": FORMAT, "records": shapes}
    index["draws"] = draws
    index["hash"] = hashes.of_json(index)
    write_json(folder / f"{number:05d}.json", index)


def has_shard(folder: PathLike, number: int) -> bool:
    """Return whether a shard is complete."""
    return (epath.Path(folder) / f"{number:05d}.json").exists()


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
            for shard, entries, draws in _shards(folder):
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
    hash: str = ""  # of the rest; earlier versions had none


def _spec(shape: Sequence[int], stretches: int) -> LatentSpec:
    frames, height, width, _ = shape
    return LatentSpec(frames=frames, height=height, width=width, stretches=stretches)


def _shards(folder: PathLike) -> Iterator[tuple[epath.Path, list[LatentSpec], int]]:
    """Yield each shard of a folder, with the spec and the draws of each clip."""
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
        if told.draws is None:
            del index["draws"]
        if index.pop("hash") not in ("", hashes.of_json(index)):
            raise _damaged(str(path), "its hash differs from the recorded one")
        shard = path.with_suffix(".arrayrecord")
        if not shard.is_file():
            raise _damaged(str(shard), "it is missing, or is no file")
        specs = [_spec(entry.shape, entry.stretches) for entry in told.records]
        yield shard, specs, told.draws or 1


def _damaged(path: str, error: Any) -> ValueError:
    reason = str(error).partition("\n")[0]
    return ValueError(
        f"encoded clips {path!r} are damaged ({reason[: limits.QUOTED]}): {AGAIN}"
    )
