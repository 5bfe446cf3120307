"""Folders of clips become datasets: files as they are, shots, captions."""

import dataclasses

import msgspec
import numpy as np
import pytest

from sora_jax import hashes, limits
from sora_jax.config import ClipsConfig
from sora_jax.data.curation.captioner import Captions
from sora_jax.data.curation.captions import CaptionedClip
from sora_jax.data.curation.shots import Box, CuratedShot, Scores
from sora_jax.data.sources.folder_scan import scan_folder
from sora_jax.data.sources.stored import open_stored
from sora_jax.datasets.video_folder import FolderRecipe, VideoFolder, folder_recipe
from tests.helpers import clip_files
from tests.helpers.datasets import build, contents, stores


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
