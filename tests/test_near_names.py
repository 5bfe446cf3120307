"""Words that no caption has lead to the characters that come near them."""

from sora_jax.datasets.fluent_emoji.captions import captions_of, noun_of
from sora_jax.datasets.fluent_emoji.characters import characters
from sora_jax.datasets.fluent_emoji.near_names import doubts, near_names
from sora_jax.expander import DefaultExpander
from sora_jax.models.tokenizer import words_of

SHOWN = [each for each in characters() if each.is_in_mit_set]
WORDS = {
    word for each in SHOWN for text in captions_of(each) for word in words_of(text)
}


def test_an_unknown_word_is_answered_by_what_comes_near():
    (line,) = doubts("a kitten with a wig", WORDS)
    assert line == "knows 'cat face' and 'cat', but not 'kitten'"
    assert not list(doubts("a cat face smiles", WORDS))
    assert list(DefaultExpander().doubts("a kitten", WORDS)) == [line]


def test_models_of_another_world_are_not_asked_about_characters():
    assert not list(doubts("a kitten", {"a", "red", "ball", "star"}))
    assert not list(DefaultExpander().doubts("a kitten", ()))


def test_every_name_is_a_character_and_no_word_is_in_a_caption():
    assert len(near_names()) > 250
    assert not WORDS & set(near_names())
    names = {noun_of(each) for each in SHOWN}
    assert {name for several in near_names().values() for name in several} <= names
