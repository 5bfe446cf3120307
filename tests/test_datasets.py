"""Datasets are built in parts, and read as one; TensorFlow stays out."""

import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from sora_jax import hashes
from sora_jax.config import ClipsConfig, PlaygroundConfig
from sora_jax.data.sources import tfds_index, tfds_store
from sora_jax.data.sources.stored import open_stored
from sora_jax.data.sources.tfds_store import TfdsStore, find_directories
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import Part, parts_of
from sora_jax.datasets.playground import PlaygroundDataset, PlaygroundRecipe
from sora_jax.worlds.playground.source import Playground
from tests.helpers.datasets import build, contents, stores
from tests.helpers.paths import ROOT
from tests.helpers.recipes import LetterRecipe, Letters


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_parts_joined_are_the_whole(tmp_path, parts):
    recipe = LetterRecipe()
    assert build(Letters, recipe, tmp_path, parts) == []
    found = stores(tmp_path / "letters")
    assert sorted(found) == ["train", "validation"]
    for split, keys in recipe.splits().items():
        assert contents(found[split]) == {key: key.encode() for key in keys}
        for number in range(len(keys)):
            stored = found[split].describe(number)
            made = recipe.clip(stored.name)
            assert stored.file_size == len(made.content)
            assert stored.file_hash == hashes.of_bytes(made.content)
            told = dataclasses.replace(stored, file_size=0, file_hash="")
            assert told == made.stored
    half = TfdsStore(find_directories(tmp_path / "letters"), "train[:50%]")
    assert contents(half) == dict(list(contents(found["train"]).items())[:3])
    assert half.describe(0) == found["train"].describe(0)


def test_a_store_is_pickled_without_its_open_files(tmp_path):
    build(Letters, LetterRecipe(), tmp_path)
    store = stores(tmp_path / "letters")["train"]
    before = contents(store)
    assert len(pickle.dumps(store)) < 1000
    assert contents(pickle.loads(pickle.dumps(store))) == before


@pytest.mark.parametrize("damage", ["missing", "short", "damaged"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_index_that_is_not_whole_is_made_again(tmp_path, damage, part):
    build(Letters, LetterRecipe(), tmp_path, 3)
    directories = find_directories(tmp_path / "letters")
    index = tfds_index.index_path(directories[part], "train")
    whole = index.read_bytes()
    if damage == "missing":
        index.unlink()
    else:
        cut = whole.index(b"\n") + 1
        index.write_bytes(whole[:cut] if damage == "short" else whole[: cut + 9])
    for split in ("train", "train[1:5]", "train[2:]+validation"):
        store = TfdsStore(directories, split)
        for number in range(len(store)):
            name = store.describe(number).name
            assert store.content(number) == name.encode()
    assert index.read_bytes() == whole


def test_a_part_of_a_split_is_planned_without_its_records(tmp_path, monkeypatch):
    build(Letters, LetterRecipe(), tmp_path, 2)
    directories = find_directories(tmp_path / "letters")
    monkeypatch.setattr(tfds_store, "open_source", None)
    monkeypatch.setattr(tfds_index, "open_source", None)
    store = TfdsStore(directories, "train[2:4]+validation")
    names = [store.describe(number).name for number in range(len(store))]
    assert names == ["t4", "t1", "v0", "v1"]


def test_damaged_clips_are_left_out_and_listed(tmp_path):
    recipe = LetterRecipe(damaged=("t1", "t4", "v0"))
    left_out = build(Letters, recipe, tmp_path, 2)
    assert dict(left_out) == {key: f"{key} is damaged" for key in recipe.damaged}
    found = stores(tmp_path / "letters")
    assert list(contents(found["train"])) == ["t0", "t2", "t3", "t5"]
    assert list(contents(found["validation"])) == ["v1"]
    assert build(Letters, recipe, tmp_path, 2) == left_out  # read back


def test_a_part_may_hold_no_clip_that_can_be_read(tmp_path):
    recipe = LetterRecipe(damaged=("t0", "t2", "t4", "v0"))
    assert len(build(Letters, recipe, tmp_path, 2)) == 4
    found = stores(tmp_path / "letters")
    assert {**contents(found["train"]), **contents(found["validation"])} == {
        key: key.encode() for key in ("t1", "t3", "t5", "v1")
    }


def test_a_missing_part_is_counted(tmp_path):
    recipe = LetterRecipe()
    for number in (0, 2):
        build_part(Letters, recipe, Part(number, 3), tmp_path)
    with pytest.raises(ValueError, match="has 2 of 3 parts: run .* again"):
        find_directories(tmp_path / "letters")


def test_other_parts_are_refused(tmp_path):
    build_part(Letters, LetterRecipe(), Part(0, 3), tmp_path)
    with pytest.raises(ValueError, match="another number of parts than 2"):
        build_part(Letters, LetterRecipe(), Part(0, 2), tmp_path)


def test_keys_of_several_clips_are_refused():
    class Twice(LetterRecipe):
        def splits(self):
            return {"train": ["a", "b"], "validation": ["a"]}

    with pytest.raises(ValueError, match="1 keys belong to several clips, such as 'a'"):
        parts_of(Twice())


WORLD = PlaygroundConfig(
    length=4,
    frames=((1, 0.3), (9, 0.7)),
    sizes=(((32, 32), 0.5), ((32, 48), 0.5)),
    kinds=(("one", 0.5), ("cut", 0.5)),
)


def test_another_world_is_not_built_into_the_same_dataset(tmp_path):
    recipe = PlaygroundRecipe(config=dataclasses.replace(WORLD, length=1))
    build(PlaygroundDataset, recipe, tmp_path)
    config = dataclasses.replace(recipe.config, sizes=(((48, 32), 1.0),))
    with pytest.raises(ValueError, match="begun with other clips"):
        build(PlaygroundDataset, dataclasses.replace(recipe, config=config), tmp_path)


def test_the_playground_is_stored_with_its_truth(tmp_path):
    recipe = PlaygroundRecipe(config=WORLD, held_out=2)
    assert build(PlaygroundDataset, recipe, tmp_path) == []
    found = stores(tmp_path / "playground")
    for split, world in (
        ("train", Playground(WORLD)),
        ("validation", Playground(dataclasses.replace(WORLD, split="test", length=2))),
    ):
        store = found[split]
        source = open_stored(store, ClipsConfig(path="x", multiple=16))
        assert len(source) == len(store) == len(world)
        for number in range(len(world)):
            spec, rendered = source.spec(number), world.read(number)
            assert spec.captions == rendered.captions
            pixels = source.read(number).pixels
            assert np.abs(pixels.astype(int) - rendered.pixels).mean() < 2
            scene = world.scene(number)
            assert spec.truth["scene"]["frames"] == scene.frames
            body = spec.truth["scene"]["stretches"][0]["bodies"][0]
            centre = scene.stretches[0].bodies[0].centre
            np.testing.assert_allclose(body["centre"], centre, atol=1e-5)
            json.dumps(spec.truth)


@pytest.mark.filterwarnings("ignore")  # of protobuf, in the version that Beam takes
def test_beam_builds_the_same(tmp_path):
    pytest.importorskip("apache_beam")
    from apache_beam.options.pipeline_options import PipelineOptions

    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    options = PipelineOptions(["--runner=DirectRunner", *workers])
    recipe = LetterRecipe(train=20, damaged=("t3",))
    left_out = build_part(Letters, recipe, Part(0, 1), tmp_path, options)
    assert dict(left_out) == {"t3": "t3 is damaged"}
    assert len(contents(stores(tmp_path / "letters")["train"])) == 19


WITHOUT = """
import sys
from sora_jax.config import ClipsConfig
from sora_jax.data.sources.tfds_store import TfdsStore, find_directories
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import parts_of
from tests.helpers.recipes import LetterRecipe, Letters
for part in parts_of(LetterRecipe(), 2):
    build_part(Letters, LetterRecipe(), part, sys.argv[1])
store = TfdsStore(find_directories(sys.argv[1] + "/letters"), "train")
assert store.content(0) == b"t0"
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_tensorflow_stays_out(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
