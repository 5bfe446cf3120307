"""Text states on disk: what a frozen text encoder makes of every caption, once.

Shards of ArrayRecord lie in the folder `text` of encoded clips, each with an index of
its texts. A record holds the states of one text, without its padding, in half
precision: its length times the encoder's width, for umT5-XXL 8 KB a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import grain
import msgspec
import numpy as np
from etils import epath
from jaxtyping import Float16

from sora_jax import hashes, limits
from sora_jax.data.shard_files import write_array_record
from sora_jax.files import PathLike, quoted
from sora_jax.workdir import read_json, write_json

FOLDER = "text"  # below that of the encoded clips
AGAIN = "delete the folder, and start the encode command again"


class _Index(msgspec.Struct):
    """The index of a shard.

    Attributes:
      encoder: hash of the text encoder.
      width: features of a state.
      texts: in the order of the records.
      hash: of the rest.
    """

    encoder: str
    width: Annotated[int, msgspec.Meta(ge=1)]
    texts: list[str]
    hash: str


class TextStates:
    """The text states of several folders of encoded clips; picklable.

    Called with a text and a length it returns its states `[l d]`, as the encoder would
    for its token ids: cut, or padded with zeros.
    """

    def __init__(self, *folders: PathLike):
        """Read the indices.

        Raises:
          ValueError: a folder has no text states, damaged ones, or those of another
            encoder than the first.
        """
        shards = [shard for folder in folders for shard in _shards(folder)]
        kinds = {(index.encoder, index.width) for _, index in shards}
        if len(kinds) > 1:
            raise ValueError(
                f"{', '.join(map(quoted, folders))} hold text states of different "
                "encoders: encode their clips with one text_from"
            )
        ((self.encoder, self.width),) = kinds
        self._places: dict[str, int] = {}
        number = 0
        for _, index in shards:
            for text in index.texts:
                self._places.setdefault(text, number)
                number += 1
        self._source: Any = grain.sources.ArrayRecordDataSource(
            [str(path) for path, _ in shards]
        )

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._places)

    def __call__(self, text: str, length: int) -> Float16[np.ndarray, "l d"]:
        """Return the states of a text.

        Raises:
          ValueError: the text is not among them, or its record is damaged.
        """
        if text not in self._places:
            raise ValueError(
                f"there are no text states of {quoted(text)}: {AGAIN} with its "
                "text_from"
            )
        content = self._source[self._places[text]]
        if len(content) % (2 * self.width):
            raise ValueError(f"text states of {quoted(text)} are damaged: {AGAIN}")
        found = np.frombuffer(content, np.float16).reshape(-1, self.width)[:length]
        states = np.zeros((length, self.width), np.float16)
        states[: len(found)] = found
        return states


def write_shard(
    folder: PathLike,
    number: int,
    encoder: str,
    states: Mapping[str, Float16[np.ndarray, "l d"]],
) -> None:
    """Write a shard atomically: its records, then the index, which completes it.

    Args:
      folder: of the encoded clips.
      number: of the shard.
      encoder: hash of the text encoder.
      states: of each text, without padding.
    """
    target = epath.Path(folder) / FOLDER / f"{number:05d}.arrayrecord"
    contents = [np.ascontiguousarray(each).tobytes() for each in states.values()]
    write_array_record(target, contents)
    width = next(iter(states.values())).shape[1]
    index = {"encoder": encoder, "width": width, "texts": list(states)}
    write_json(target.with_suffix(".json"), {**index, "hash": hashes.of_json(index)})


def has_shard(
    folder: PathLike, number: int, encoder: str, texts: Sequence[str]
) -> bool:
    """Return whether a shard of these texts, by this encoder, is complete."""
    path = epath.Path(folder) / FOLDER / f"{number:05d}.json"
    if not path.exists():
        return False
    index = _index(path)
    return index.encoder == encoder and index.texts == list(texts)


def _shards(folder: PathLike) -> Iterator[tuple[epath.Path, _Index]]:
    paths = sorted((epath.Path(folder) / FOLDER).glob("*.json"))
    if not paths:
        raise ValueError(
            f"{str(folder)!r} holds no text states: encode its clips with text_from "
            "(EncodeRun), or set text_states to False"
        )
    for path in paths:
        yield path.with_suffix(".arrayrecord"), _index(path)


def _index(path: epath.Path) -> _Index:
    index = read_json(path, AGAIN, _Index, limits.TEXT_BYTES)
    told = msgspec.to_builtins(index)
    if told.pop("hash") != hashes.of_json(told):
        raise ValueError(f"{str(path)!r} is damaged, its hash differs: {AGAIN}")
    return index
