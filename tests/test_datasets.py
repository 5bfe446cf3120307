"""Builders of datasets: parts, what goes wrong in the middle, and what is read."""

import dataclasses
import json
import pickle
import subprocess
import sys
from typing import ClassVar

import msgspec
import numpy as np
import pytest
import tensorflow_datasets as tfds

from sora_jax import hashes, limits
from sora_jax.config import ClipsConfig, PlaygroundConfig
from sora_jax.data.backgrounds import over
from sora_jax.data.curation.captioner import Captions
from sora_jax.data.curation.captions import CaptionedClip
from sora_jax.data.curation.shots import Box, CuratedShot, Scores
from sora_jax.data.sources import tfds_index, tfds_records, tfds_store
from sora_jax.data.sources.folder_scan import scan_folder
from sora_jax.data.sources.stored import open_stored
from sora_jax.data.sources.tfds_store import TfdsStore, find_directories, split_names
from sora_jax.datasets import builder
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.fluent_emoji import packages, splits
from sora_jax.datasets.fluent_emoji.builder import EmojiRecipe, FluentEmoji
from sora_jax.datasets.fluent_emoji.characters import characters
from sora_jax.datasets.parts import Part, parts_of
from sora_jax.datasets.playground import PlaygroundDataset, PlaygroundRecipe
from sora_jax.datasets.video_folder import FolderRecipe, VideoFolder, folder_recipe
from sora_jax.worlds.playground.source import Playground
from tests.helpers import clip_files, tiny_emoji
from tests.helpers.paths import ROOT
from tests.helpers.recipes import LetterRecipe, Letters


def build(kind, recipe, folder, parts=1):
    """Build all parts; return what was left out."""
    built = [build_part(kind, recipe, part, folder) for part in parts_of(recipe, parts)]
    return [each for found in built for each in found]


def stores(folder):
    directories = find_directories(folder)
    return {name: TfdsStore(directories, name) for name in split_names(directories)}


def contents(store):
    return {store.describe(i).name: store.content(i) for i in range(len(store))}


# --- parts ---------------------------------------------------------------------------


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


# --- datasets of others --------------------------------------------------------------


class Others(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records as others write them, one of which is no video."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar = {}

    def __init__(self, names, **kwargs):
        self.names = names
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        clip, text = self.names
        features = {clip: np.object_, text: tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(4):
            content = b"no video" if number == 1 else clip_files.mp4(number + 1)
            yield number, dict(zip(self.names, (content, f"{number}"), strict=True))


@pytest.mark.parametrize("names", [("clip", "said"), ("video", "captions")])
def test_a_dataset_of_others_is_read(tmp_path, caplog, names):
    with builder._quiet():
        Others(names, data_dir=str(tmp_path)).download_and_prepare()
    directories = find_directories(tmp_path / "others")
    if names != tfds_records.NATIVE:
        with pytest.raises(ValueError, match=r"data.fields .* there are: clip, said"):
            len(TfdsStore(directories, "train"))
    store = TfdsStore(directories, "train", names)
    assert [store.describe(i).name for i in range(len(store))] == [
        "train[0]",
        "train[2]",
        "train[3]",
    ]
    assert "clips that cannot be read: 1\n  train[1]: train[1] cannot" in caplog.text
    assert store.content(1) == clip_files.mp4(3)
    assert store.describe(1).spec.captions[0].texts == ("2",)
    last = TfdsStore(directories, "train[3:]", names)
    assert (len(last), last.describe(0).name) == (1, "train[3]")
    with pytest.raises(ValueError, match="no clip can be read"):
        len(TfdsStore(directories, "train[1:2]", names))


# --- what goes wrong in the middle ---------------------------------------------------

KILLED = """
import sys
from sora_jax.datasets.builder import build_part
from sora_jax.datasets.parts import parts_of
from tests.helpers.recipes import LetterRecipe, Letters
recipe = LetterRecipe(killed_at="t4")
for part in parts_of(recipe, 3):
    print(part.number, build_part(Letters, recipe, part, sys.argv[1]), flush=True)
"""


def test_a_killed_build_goes_on(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (died.returncode, died.stdout) == (9, "0 []\n")
    parts = tmp_path / "letters"
    assert list((parts / "part-00001-of-00003").glob("incomplete.*"))
    first = next(parts.glob("part-00000-of-00003/*/*.array_record*"))
    before = first.stat().st_mtime_ns
    assert build(Letters, LetterRecipe(), tmp_path, 3) == []
    assert first.stat().st_mtime_ns == before
    assert len(contents(stores(parts)["train"])) == 6
    assert not list(tmp_path.rglob("incomplete.*"))
    assert not list(tmp_path.rglob("lock.json"))


def test_a_build_killed_before_its_last_file_knows_what_was_left_out(tmp_path):
    recipe = LetterRecipe(damaged=("t1",))
    left_out = build(Letters, recipe, tmp_path)
    before = contents(stores(tmp_path / "letters")["train"])
    (folder,) = (tmp_path / "letters").glob("*/1.0.0")
    (folder / "left_out.jsonl").unlink()
    (folder / "clips-train.jsonl").unlink()
    assert build(Letters, recipe, tmp_path) == left_out
    assert contents(stores(tmp_path / "letters")["train"]) == before


@pytest.mark.parametrize("parts", [(1, 2), (0,)])
def test_a_killed_build_goes_on_with_the_same_clips_only(tmp_path, parts):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for changed in (LetterRecipe(train=7), LetterRecipe(said="a")):
        for number in parts:
            with pytest.raises(
                ValueError, match="begun with other clips.* another --data_dir, or del"
            ):
                build_part(Letters, changed, Part(number, 3), tmp_path)
    assert build(Letters, LetterRecipe(), tmp_path, 3) == []


@pytest.mark.parametrize("change", ["clip", "content", "caption", "curation"])
def test_a_changed_folder_is_not_built_into_the_same_dataset(tmp_path, change):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "c.mp4"):
        (folder / name).write_bytes(clip_files.mp4(3))
    build(VideoFolder, folder_recipe(folder), tmp_path)
    build(VideoFolder, folder_recipe(folder), tmp_path)
    shots = ()
    if change == "clip":
        (folder / "b.mp4").write_bytes(clip_files.mp4(3))
    elif change == "content":
        (folder / "a.mp4").write_bytes(clip_files.mp4(4))
    elif change == "caption":
        (folder / "a.txt").write_text("a")
    else:
        shots = tuple(shot(name, 0, 0, 2, shots=1) for name in ("a.mp4", "c.mp4"))
    recipe = dataclasses.replace(folder_recipe(folder), shots=shots)
    with pytest.raises(ValueError, match="begun with other clips"):
        build(VideoFolder, recipe, tmp_path)
    build(VideoFolder, recipe, tmp_path / "another")


def test_a_full_disk_keeps_complete_parts(tmp_path):
    full = LetterRecipe(full_at="t1")
    build_part(Letters, full, Part(0, 2), tmp_path)
    with pytest.raises(OSError, match="No space left .* start the same command again"):
        build_part(Letters, full, Part(1, 2), tmp_path)
    assert not list(tmp_path.rglob("incomplete.*"))
    build_part(Letters, LetterRecipe(), Part(1, 2), tmp_path)
    assert len(contents(stores(tmp_path / "letters")["train"])) == 6


def test_two_builds_of_a_part_do_not_meet(tmp_path):
    from sora_jax import locking

    held = tmp_path / "letters" / "part-00000-of-00001"
    told = "^--data_dir .* is in use by process .* or give another --data_dir$"
    with locking.only_run(held), pytest.raises(ValueError, match=told):
        build(Letters, LetterRecipe(), tmp_path)


# --- the artists' set ----------------------------------------------------------------


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


# --- folders -------------------------------------------------------------------------


def test_a_folder_is_stored_as_it_is(tmp_path):
    folder = clip_files.write_kinds(tmp_path / "clips")
    (folder / "bad.mp4").write_bytes(b"no video")
    left_out = build(VideoFolder, folder_recipe(folder), tmp_path, 2)
    assert [name for name, _ in left_out] == ["bad.mp4"]
    found = stores(tmp_path / "video_folder")
    every = {**contents(found["train"]), **contents(found["validation"])}
    assert every == {name: (folder / name).read_bytes() for name in clip_files.KINDS}
    for store in found.values():
        for number in range(len(store)):
            stored = store.describe(number)
            _, has_alpha, frames = clip_files.KINDS[stored.name]
            assert (stored.spec.has_alpha, stored.spec.frames) == (has_alpha, frames)
            assert bool(stored.spec.captions) == stored.name.startswith(
                ("video", "alpha")
            )


def shot(file, number, start, stop, **fields):
    defaults = dict(hash="", shots=2, height=48, width=64, fps=8.0, is_still=False)
    defaults |= dict(is_loop=False, fingerprint="", colours="")
    defaults["crop"] = Box(top=4, left=0, height=40, width=64)
    defaults["scores"] = Scores(
        duration=0.5, motion=2.5, sharpness=1.0, exposure=0.5, contrast=0.5, clipped=0.0
    )
    times = dict(start_seconds=start / 8, stop_seconds=stop / 8)
    frames = dict(start_frame=start, stop_frame=stop)
    return CuratedShot(
        file=file, shot=number, **times, **frames, **{**defaults, **fields}
    )


def test_shots_are_cut_and_keep_their_scores(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(clip_files.mp4())
    (tmp_path / "a.txt").write_text("waves")
    whole = Box(top=0, left=0, height=48, width=64)
    shots = (
        shot("a.mp4", 0, 0, 4),
        shot("a.mp4", 1, 4, 9, is_loop=True, duplicate_of="a.mp4#0"),
        shot("b.mp4", 0, 0, 9, shots=1, crop=whole),
    )
    said = Captions(short="a wave", dense="A wave moves.", camera="It stays.")
    line = CaptionedClip(id="a.mp4#1", hash="", captions=said, model="m", prompt="")
    recipe = FolderRecipe(scan_folder(tmp_path), shots, {"a.mp4#1": line})
    assert build(VideoFolder, recipe, tmp_path / "out") == []
    found = stores(tmp_path / "out" / "video_folder")
    specs = {
        s.describe(i).name: s.describe(i) for s in found.values() for i in range(len(s))
    }
    assert sorted(specs) == ["a.mp4#0", "a.mp4#1", "b.mp4"]
    assert specs["a.mp4#0"].spec.shape == (4, 40, 64)
    second = specs["a.mp4#1"]
    assert second.spec.shape == (5, 40, 64) and second.is_loop
    assert specs["a.mp4#0"].spec.captions[0].texts == ("waves",)
    assert second.spec.captions[0].texts == (
        "a wave",
        "A wave moves.",
        "A wave moves. It stays.",
    )
    assert second.spec.scores["motion"] == 2.5
    assert second.spec.scores["is_duplicate"] == 1.0
    shown = {name: s for s in found.values() for name in contents(s)}
    assert contents(shown["b.mp4"])["b.mp4"] == clip_files.mp4()
    files = [{name.partition("#")[0] for name in contents(s)} for s in found.values()]
    assert files[0].isdisjoint(files[1])
    cut = open_stored(shown["a.mp4#1"], ClipsConfig(path="x", multiple=8))
    index = next(
        i
        for i, p in enumerate(cut.excerpts)
        if cut.store.describe(p.clip).name == "a.mp4#1"
    )
    frames = cut.read(index).pixels.astype(int)
    assert np.abs(frames - clip_files.rgb()[4:9, 4:44]).mean() < 4


def test_files_that_changed_since_are_left_out(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(clip_files.mp4())
    same = hashes.of_file(tmp_path / "a.mp4")
    other = f"xxh3:{0:016x}"
    shots = tuple(
        shot(f"{name}.mp4", 0, 0, 4, hash=kept)
        for name, kept in (("a", same), ("b", other), ("c", same))
    )
    said = Captions(short="c", dense="", camera="")
    line = CaptionedClip(id="c.mp4#0", hash=other, captions=said, model="m", prompt="")
    recipe = FolderRecipe(scan_folder(tmp_path), shots, {"c.mp4#0": line})
    left_out = dict(build(VideoFolder, recipe, tmp_path / "out"))
    assert sorted(left_out) == ["b.mp4#0", "c.mp4#0"]
    assert "has changed since it was curated: run" in left_out["b.mp4#0"]
    assert "has changed since it was captioned: run" in left_out["c.mp4#0"]


def test_captions_of_a_file_are_those_of_its_only_shot(tmp_path, caplog):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(clip_files.mp4())
    shots = [shot("a.mp4", 0, 0, 4), shot("b.mp4", 0, 0, 4), shot("b.mp4", 1, 4, 9)]
    lines = [
        CaptionedClip(
            id=name,
            hash="",
            captions=Captions(short=name, dense="", camera=""),
            model="m",
            prompt="",
        )
        for name in ("a.mp4", "b.mp4", "gone.mp4")
    ]
    for name, rows in (("curation", shots), ("captions", lines)):
        text = msgspec.json.Encoder().encode_lines(rows)
        (tmp_path / f"{name}.jsonl").write_bytes(text)
    tables = (tmp_path / "curation.jsonl", tmp_path / "captions.jsonl")
    recipe = folder_recipe(tmp_path, *tables)
    assert "captions without a clip: 2 ('b.mp4', 'gone.mp4')" in caplog.text
    said = recipe.clip("a.mp4#0").stored.spec.captions
    assert said[0].texts == ("a.mp4",)
    assert recipe.clip("b.mp4#0").stored.spec.captions == ()


def test_shots_are_cut_out_of_files_of_any_size(tmp_path, monkeypatch):
    content = clip_files.mp4()
    (tmp_path / "a.mp4").write_bytes(content)
    shots = (shot("a.mp4", 0, 0, 4), shot("a.mp4", 1, 4, 9))
    recipe = FolderRecipe(scan_folder(tmp_path), shots)
    monkeypatch.setattr(limits, "CLIP_BYTES", len(content) - 1)
    assert recipe.clip("a.mp4#1").stored.spec.shape == (5, 40, 64)
    with pytest.raises(ValueError, match="is larger than"):
        FolderRecipe(scan_folder(tmp_path)).clip("a.mp4")


def test_a_curation_of_another_folder_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(clip_files.mp4(1))
    line = msgspec.json.encode(shot("gone.mp4", 0, 0, 4, shots=1))
    (tmp_path / "curation.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=r"1 files that are not .*'gone.mp4'"):
        folder_recipe(tmp_path, tmp_path / "curation.jsonl")


# --- the playground ------------------------------------------------------------------

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


# --- TensorFlow ----------------------------------------------------------------------

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


def test_tensorflow_stays_out(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
