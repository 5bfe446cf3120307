"""The artists' animated characters: splits, captions, packages."""

import numpy as np
import pytest

from sora_jax.config import ClipsConfig
from sora_jax.data.backgrounds import over
from sora_jax.data.sources.stored import open_stored
from sora_jax.datasets.fluent_emoji import packages, splits
from sora_jax.datasets.fluent_emoji.builder import EmojiRecipe, FluentEmoji
from sora_jax.datasets.fluent_emoji.characters import characters
from tests.helpers import tiny_emoji
from tests.helpers.datasets import build, contents, stores


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emoji")
    recipe = tiny_emoji.recipe(folder / "packages")
    assert build(FluentEmoji, recipe, folder) == []
    return recipe, folder / "fluent_emoji"


def test_the_artists_set_has_its_splits_and_captions(emoji):
    recipe, folder = emoji
    found = stores(folder)
    counts = {split: 4 * count for split, count in tiny_emoji.COUNTS.items()}
    assert {split: len(store) for split, store in found.items()} == counts
    for split, keys in recipe.splits().items():
        assert set(contents(found[split])) == set(keys)
    held_out = found[splits.COMPOSITION].describe(0).spec
    assert held_out.truth["role"] and held_out.truth["tone"]
    others = set(held_out.truth["held_out_phrasings"])
    assert others and others.isdisjoint(held_out.captions[0].texts)
    assert held_out.truth["tone"] in " ".join(held_out.captions[0].texts)
    assert len(held_out.captions[0].texts) > 5


@pytest.mark.parametrize("only_mit", [True, False])
def test_each_pair_of_a_held_out_triple_is_trained_on(only_mit):
    recipe = EmojiRecipe({}, only_mit=only_mit)
    by_file = {each.file: each for each in characters()}
    found = {
        split: [by_file[key] for key in keys] for split, keys in recipe.splits().items()
    }
    assert {split: len(members) for split, members in found.items()} == {
        splits.TRAIN: 1806 if only_mit else 1896,
        splits.VALIDATION: 25 if only_mit else 30,
        splits.COMPOSITION: 183,
    }
    of_mit = [each for each in found[splits.TRAIN] if each.is_in_mit_set]
    trained = {pair for each in of_mit for pair in splits.pairs_of(each)}
    triples = {(each.role, each.gender, each.tone) for each in found[splits.TRAIN]}
    for each in found[splits.COMPOSITION]:
        assert splits.pairs_of(each) <= trained
        assert (each.role, each.gender, each.tone) not in triples


def test_a_triple_whose_pair_no_other_clip_shows_is_not_held_out():
    first = splits.split_of(characters())[splits.COMPOSITION][0]
    same = (first.role, first.tone)
    others = [each for each in characters() if (each.role, each.tone) != same]
    assert first not in splits.split_of([*others, first])[splits.COMPOSITION]


def test_the_artists_loops_close_and_keep_alpha(emoji):
    recipe, folder = emoji
    store = stores(folder)[splits.TRAIN]
    config = ClipsConfig(path=str(folder), fps=8.0, frames=25, pixels=48 * 48)
    source = open_stored(store, config)
    assert len(source) == len(store) == 12
    loops = [store.describe(part.clip).is_loop for part in source.excerpts]
    assert loops.count(False) == 1
    for index, is_loop in enumerate(loops):
        clip = source.read(index)
        # A second at 8 frames per second, and the beginning again.
        assert clip.pixels.shape == (9, 48, 48, 4)
        alpha = clip.pixels[..., 3]
        assert alpha.min() == 0 and alpha.max() == 255
        first, halfway, last = over(clip.pixels[[0, 4, -1]], "white").astype(int)
        gaps = [np.abs(frame - first).mean() for frame in (halfway, last)]
        assert (gaps[1] < 0.4 * gaps[0]) == is_loop


def test_packages_that_differ_or_lack_are_told(tmp_path):
    integrity = tiny_emoji.write_packages(tmp_path)
    first, second, *_ = (tmp_path / packages.archive_name(n) for n in integrity)
    first.unlink()
    second.write_bytes(b"another")
    with pytest.raises(ValueError, match="missing(.|\n)*differs(.|\n)*--manual_dir"):
        packages.fetch(tmp_path, integrity, manual_dir=str(tmp_path))


def test_a_folder_of_packages_is_only_read(tmp_path):
    integrity = tiny_emoji.write_packages(tmp_path / "manual")
    before = sorted((tmp_path / "manual").iterdir())
    cache = packages.cache_folder(tmp_path / "data")
    found = packages.fetch(cache, integrity, manual_dir=str(tmp_path / "manual"))
    plain = [packages.unpacked(path, cache) for path in found.values()]
    assert plain == [packages.unpacked(path, cache) for path in found.values()]
    assert sorted(cache.iterdir()) == sorted(plain)
    assert sorted((tmp_path / "manual").iterdir()) == before
    with pytest.raises(ValueError, match="--manual_dir '.*/manul' is no folder: check"):
        packages.fetch(cache, integrity, manual_dir=str(tmp_path / "manul"))
    assert not (tmp_path / "manul").exists()


def test_packages_of_a_dataset_in_a_bucket_are_kept_on_this_disk():
    assert packages.cache_folder("gs://bucket/data").is_absolute()
