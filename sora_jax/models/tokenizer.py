"""Text to token ids and back, by SentencePiece, and the training of its model.

Follows T5: id 0 pads, id 1 ends a text, id 2 is unknown (which byte fallback makes
impossible), nothing begins one.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import io
import re
from collections.abc import Iterable, Sequence

import ftfy
import numpy as np
import sentencepiece
from etils import epath
from jaxtyping import Int

from sora_jax import files, limits
from sora_jax.files import PathLike
from sora_jax.workdir import write_bytes

PAD, END, UNKNOWN = 0, 1, 2
FIELD = "tokenizer"  # as messages name it


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A SentencePiece model; hashable, and pickled as its bytes.

    Attributes:
      model: what a SentencePiece `.model` file holds.
    """

    model: bytes = dataclasses.field(repr=False)

    @classmethod
    def load(cls, path: PathLike) -> Tokenizer:
        """Read a SentencePiece model file.

        Raises:
          ValueError: the file is missing, too large, or no SentencePiece model.
        """
        content = files.read_bytes(path, FIELD, limits.TOKENIZER_BYTES)
        return cls.of(content, files.quoted(path))

    @classmethod
    def of(cls, model: bytes, where: str) -> Tokenizer:
        """Return the tokenizer of a SentencePiece model.

        Args:
          model: what its file holds.
          where: it is from, for messages.

        Raises:
          ValueError: it is no SentencePiece model.
        """
        tokenizer = cls(model)
        try:
            _ = tokenizer._processor
        except Exception as error:
            raise ValueError(
                f"{FIELD} {where} is not a SentencePiece model or is cut "
                "short; copy or download the file again"
            ) from error
        return tokenizer

    def save(self, path: PathLike) -> None:
        """Write the model file under a temporary name, then renames it."""
        write_bytes(epath.Path(path), self.model)

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return self._processor.get_piece_size()

    def encode(self, text: str, length: int) -> Int[np.ndarray, " length"]:
        """Encode a text to a fixed length, cut or padded; its end is always marked."""
        if length < 1:
            raise ValueError(f"text length must be at least 1, got {length}")
        ids = self._processor.encode(clean(text))[: length - 1]
        padded = np.full(length, PAD, np.int32)
        padded[: len(ids) + 1] = [*ids, END]
        return padded

    def count(self, text: str) -> int:
        """How many ids a whole text has, the end mark included."""
        return len(self._processor.encode(clean(text))) + 1

    def decode(self, ids: Sequence[int] | Int[np.ndarray, " length"]) -> str:
        """Decode ids up to the first end mark."""
        kept = [int(value) for value in ids]
        if END in kept:
            kept = kept[: kept.index(END)]
        return self._processor.decode([value for value in kept if value != PAD])

    @functools.cached_property
    def _processor(self) -> sentencepiece.SentencePieceProcessor:
        processor = sentencepiece.SentencePieceProcessor()
        processor.load_from_serialized_proto(self.model)
        return processor

    def __getstate__(self) -> dict[str, bytes]:
        """Pickle the bytes alone; the processor is rebuilt from them."""
        return {"model": self.model}


def check_file(path: PathLike) -> None:
    """Refuse a model file that is missing or too large, without reading it.

    Raises:
      ValueError: says so.
    """
    files.check_size(path, FIELD, limits.TOKENIZER_BYTES)


def clean(text: str) -> str:
    """Repair garbled letters, undo HTML escapes, even doubled, and join white space."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", text).strip()


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case, without numbers."""
    return set(re.findall(r"[^\W\d_]+", clean(text).lower()))


def train_tokenizer(
    captions: Iterable[str], path: PathLike | None = None, *, vocab_size: int = 768
) -> Tokenizer:
    """Train a vocabulary; the same captions give the same bytes.

    Text is lower-cased and normalised, and what the vocabulary lacks is spelled in
    bytes, so that any string can be encoded. Byte pairs, not T5's unigrams: these
    take only strings that several words share for pieces, and so cut the words of a
    grammar to bits (24 tokens for a playground caption where byte pairs need 17).

    Args:
      captions: in any order, which does not have to fit in memory.
      path: where the model file goes, if anywhere.
      vocab_size: how many ids at most; few captions give fewer. 256 are bytes.
    """
    if vocab_size < 300:
        raise ValueError(
            f"vocab_size must be at least 300, got {vocab_size}: 256 bytes and three "
            "marks come first"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(clean(caption) for caption in captions),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="nmt_nfkc_cf",
        character_coverage=1.0,
        pad_id=PAD,
        eos_id=END,
        unk_id=UNKNOWN,
        bos_id=-1,
        # Several threads may count in any order.
        num_threads=1,
        minloglevel=2,
    )
    tokenizer = Tokenizer(model.getvalue())
    if path is not None:
        tokenizer.save(path)
    return tokenizer
