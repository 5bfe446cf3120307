from __future__ import annotations

import itertools
import pickle
import time

import numpy as np
import pytest

from sora_jax.families.wan.tokenizer_json import UNIGRAM, for_transformers, parse_model
from sora_jax.models.tokenizer import (
    END,
    PAD,
    UNKNOWN,
    Tokenizer,
    check_file,
    clean,
    train_tokenizer,
)

CAPTIONS = [
    f"a {size} {colour} {shape} {motion} on a {floor} floor"
    for size, colour, shape, motion, floor in itertools.product(
        ("big", "small"),
        ("red", "green", "blue"),
        ("ball", "cube", "star"),
        ("bounces", "moves left", "spins"),
        ("white", "grey"),
    )
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS, vocab_size=400)


@pytest.mark.parametrize(
    "text",
    ["a big red ball", "红色的球 跳", "🎈🚀 zebra", "naïve façade", "<b> 100%", ""],
)
def test_any_string_survives(tokenizer, text):
    ids = tokenizer.encode(text, 64)
    assert ids.shape == (64,) and ids.dtype == np.int32
    assert (ids < tokenizer.vocab_size).all() and 2 not in ids
    assert tokenizer.decode(ids) == text
    end = list(ids).index(END)
    assert (ids[end + 1 :] == PAD).all() and PAD not in ids[:end]


def test_known_words_are_few_tokens(tokenizer):
    ids = tokenizer.encode("A Big RED Ball  bounces\non a white floor", 64)
    assert (ids != PAD).sum() <= 12
    assert tokenizer.decode(ids) == "a big red ball bounces on a white floor"


def test_long_text_is_cut_and_still_ends(tokenizer):
    long = tokenizer.encode("red " * 100, 16)
    assert long[-1] == END and END not in long[:-1] and PAD not in long
    assert tokenizer.encode("red", 1).tolist() == [END]
    with pytest.raises(ValueError, match="text length must be at least 1, got 0"):
        tokenizer.encode("red", 0)


def test_training_is_deterministic(tokenizer, tmp_path):
    path = tmp_path / "new" / "tokenizer.model"
    again = train_tokenizer(iter(CAPTIONS), path, vocab_size=400)
    assert again == tokenizer == Tokenizer.load(path)
    assert hash(again) == hash(tokenizer)
    revived = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(
        revived.encode("a red star", 9), tokenizer.encode("a red star", 9)
    )


def test_text_is_cleaned():
    assert clean("  a &amp;lt;b&amp;gt;\t red\n\nball ") == "a <b> red ball"


def test_bad_models(tmp_path):
    with pytest.raises(ValueError, match="missing.model' does not exist"):
        Tokenizer.load(tmp_path / "missing.model")
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(ValueError, match="bad.model' is not a SentencePiece model"):
        Tokenizer.load(tmp_path / "bad.model")
    with pytest.raises(ValueError, match="vocab_size must be at least 300, got 100"):
        train_tokenizer(CAPTIONS, vocab_size=100)


def test_a_file_of_gigabytes_is_no_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        file.truncate(6 * 10**9)  # takes no room on disk
    for look in (Tokenizer.load, check_file):
        started = time.process_time()
        with pytest.raises(ValueError, match="tokenizer.model' is larger than"):
            look(path)
        assert time.process_time() - started < 2


def test_unigrams_of_transformers_spell_nothing_in_bytes(tokenizer):
    model = parse_model(tokenizer.model)
    model.trainer_spec.model_type = UNIGRAM
    tokenizer = Tokenizer(model.SerializeToString())
    theirs = Tokenizer(for_transformers(tokenizer.model))
    assert theirs.vocab_size == tokenizer.vocab_size
    known, strange = "a big red ball", "a 红色 ball"
    np.testing.assert_array_equal(theirs.encode(known, 32), tokenizer.encode(known, 32))
    assert list(theirs.encode(strange, 32)).count(UNKNOWN) == 1
    assert UNKNOWN not in tokenizer.encode(strange, 32)
    assert for_transformers(theirs.model) == theirs.model
