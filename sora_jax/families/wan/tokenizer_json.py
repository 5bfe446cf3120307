"""Convert SentencePiece models to and from transformers' tokenizers."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from sora_jax.models.tokenizer import END, PAD, UNKNOWN, Tokenizer

UNIGRAM = 1  # of SentencePiece's trainer_spec.model_type
UNUSED, BYTE = 5, 6  # of the types of its pieces
SPACE = "▁"


def for_transformers(content: bytes) -> bytes:
    """Change a SentencePiece model to tokenize as transformers does.

    transformers ignores byte fallback for unigram models: characters that the
    vocabulary lacks become the unknown token.
    """
    model = parse_model(content)
    if model.trainer_spec.model_type != UNIGRAM or not model.trainer_spec.byte_fallback:
        return content
    model.trainer_spec.byte_fallback = False
    for piece in model.pieces:
        if piece.type == BYTE:
            piece.type = UNUSED
    return model.SerializeToString()


def parse_model(model: bytes) -> Any:
    """Parse a SentencePiece model file.

    Raises:
      ValueError: the file is not a SentencePiece model.
    """
    # Protobuf creates this class at import, unseen by type checkers.
    try:
        return sentencepiece_model_pb2.ModelProto.FromString(model)  # pyright: ignore
    except DecodeError as error:
        raise ValueError(
            "the tokenizer is not a SentencePiece model or is cut short; copy or "
            "download the file again"
        ) from error


def tokenizer_files(tokenizer: Tokenizer, pad_to: int) -> tuple[dict[str, bytes], str]:
    """Return the files of a tokenizer's folder, and the class that reads them.

    Args:
      tokenizer: a unigram (T5's) or BPE model.
      pad_to: length of padded texts in tokens.
    """
    model = parse_model(tokenizer.model)
    config: dict[str, Any] = {
        "model_max_length": pad_to,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    files = {"spiece.model": tokenizer.model}
    if model.trainer_spec.model_type == UNIGRAM:
        kind = "T5TokenizerFast"
        config |= {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    else:
        kind = "PreTrainedTokenizerFast"
        config |= {"tokenizer_class": kind}
        files["tokenizer.json"] = _json(byte_pairs(model))
    files["tokenizer_config.json"] = _json(config)
    return files, kind


def byte_pairs(model: Any) -> dict[str, Any]:
    """Convert a BPE model to the format of the `tokenizers` library."""
    pieces = [piece.piece for piece in model.pieces]
    scores = {piece.piece: piece.score for piece in model.pieces}
    merges = [
        (-scores[piece], cut, [piece[:cut], piece[cut:]])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    special = [PAD, END, UNKNOWN]
    return {
        "version": "1.0",
        "added_tokens": [_added(value, pieces[value]) for value in special],
        "normalizer": _normalizer(model.normalizer_spec),
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": SPACE,
            "prepend_scheme": "always",
            "split": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": pieces[END], "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {
                pieces[END]: {
                    "id": pieces[END],
                    "ids": [END],
                    "tokens": [pieces[END]],
                }
            },
        },
        "decoder": {"type": "Metaspace", "replacement": SPACE},
        "model": {
            "type": "BPE",
            "unk_token": pieces[UNKNOWN],
            "fuse_unk": True,
            "byte_fallback": model.trainer_spec.byte_fallback,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": [pair for *_, pair in sorted(merges)],
        },
    }


def _normalizer(spec: Any) -> dict[str, Any]:
    """Return the same normalization table, then merge runs of spaces."""
    steps: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        table = base64.b64encode(spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": table})
    steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
    spaces = {"Regex": " {2,}"}
    steps.append({"type": "Replace", "pattern": spaces, "content": " "})
    return {"type": "Sequence", "normalizers": steps}


def _added(value: int, piece: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": value, "content": piece, "special": True, **flags}


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()
