"""Words that no caption has lead to the characters that come near them."""

from sora_jax.datasets.fluent_emoji.captions import captions_of
from sora_jax.datasets.fluent_emoji.characters import characters
from sora_jax.datasets.fluent_emoji.keywords import doubts, keywords, near_words
from sora_jax.expander import DefaultExpander
from sora_jax.models.tokenizer import words_of

WORDS = {
    word
    for each in characters()
    if each.is_in_mit_set
    for text in captions_of(each)
    for word in words_of(text)
}


def test_an_unknown_word_is_answered_by_what_comes_near():
    (line,) = doubts("a kitten with a wig", WORDS)
    assert line.startswith("knows 'cat face'") and "'kitten'" in line
    assert not list(doubts("a cat face smiles", WORDS))
    assert not list(doubts("a kitten", {"a", "red", "ball"}))  # it knows no cat
    (line,) = DefaultExpander().doubts("a kitten", WORDS)
    assert "nearest to 'kitten'" in line
    assert not list(DefaultExpander().doubts("a kitten", ()))


def test_every_name_is_in_captions_and_no_word_is():
    assert len(keywords()) > 1000
    assert not WORDS & set(keywords())
    assert all(words_of(name) <= WORDS for n in keywords().values() for name in n)


def test_keywords_are_turned_around():
    emoji = {"🐱": ["cat_face", "Kitten", "cat"], "🐾": ["pet", "kitten"]}
    near = near_words(emoji)
    assert near == {"kitten": ("cat face", "paw prints"), "pet": ("paw prints",)}
