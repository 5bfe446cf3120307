"""Folders of clips: every kind of file, captions in all forms, and bad input."""

import dataclasses
import io
import logging
import os
import pickle
from typing import ClassVar

import numpy as np
import pytest
from etils.epath.backend import _FileSystemSpecBackend as Backend
from fsspec.implementations.memory import MemoryFileSystem

from sora_jax.config import ClipsConfig
from sora_jax.data.sources.folder import open_folder, split_names
from sora_jax.data.sources.listing import list_folder
from sora_jax.data.sources.stored import open_stored
from tests.helpers import clip_files
from tests.helpers.clip_files import texts

CLIPS = ClipsConfig(path="clips", split="all", frames=25)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return open_folder(clip_files.write_kinds(tmp_path_factory.mktemp("kinds")), "all")


@pytest.mark.parametrize("name", clip_files.KINDS)
def test_a_file_of_every_kind_is_measured_and_read(kinds, name):
    number = [clip.stored.name for clip in kinds.clips].index(name)
    _, has_alpha, frames = clip_files.KINDS[name]
    spec = kinds.describe(number).spec
    assert spec.shape == (frames, clip_files.HEIGHT, clip_files.WIDTH)
    assert spec.has_alpha == has_alpha
    assert frames == 1 or spec.fps == pytest.approx(clip_files.FPS, rel=0.02)
    source = open_stored(kinds, CLIPS)
    (place,) = [i for i, part in enumerate(source.excerpts) if part.clip == number]
    clip = source.read(place)
    wanted = (clip_files.rgba() if has_alpha else clip_files.rgb())[:frames]
    assert clip.pixels.shape == wanted.shape
    if has_alpha:
        np.testing.assert_allclose(clip.pixels[..., 3], wanted[..., 3], atol=8)
    shown = np.s_[:, :, clip_files.WIDTH // 2 + 4 :, :3]  # colour under no alpha is any
    error = clip.pixels[shown].astype(int) - wanted[shown]
    assert np.abs(error).mean() < 6


def test_sizes_lengths_and_names_are_those_of_the_files(kinds):
    names = [clip.stored.name for clip in kinds.clips]
    assert names == sorted(clip_files.KINDS)
    for spec in map(open_stored(kinds, CLIPS).spec, range(len(names))):
        assert (spec.frames - 1) % CLIPS.time_factor == 0
        assert (spec.height, spec.width) == (clip_files.HEIGHT, clip_files.WIDTH)
    said = texts(kinds)
    assert said["video.mp4"] == said["video.avi"] == ["waves", "waves of colour"]
    assert said["alpha.webm"] == ["half a picture"]
    assert said["still.jpg"] == []


def test_a_store_is_pickled_and_reads_the_same(kinds):
    again = pickle.loads(pickle.dumps(kinds))
    assert again == kinds
    assert again.content(2) == kinds.content(2)


def test_folders_in_it_are_read_and_hidden_files_are_not(mp4s):
    (mp4s / "deep" / "er").mkdir(parents=True)
    (mp4s / "deep" / "er" / "d.mp4").write_bytes(clip_files.mp4(1))
    (mp4s / "deep" / "er" / "d.txt").write_text("deep")
    for hidden in (".hidden", "__MACOSX"):
        (mp4s / hidden).mkdir()
        (mp4s / hidden / "x.mp4").write_bytes(b"no video")
    (mp4s / "._a.mp4").write_bytes(b"no video")
    said = texts(open_folder(mp4s, "all"))
    assert list(said) == ["a.mp4", "b.mp4", "c.mp4", "deep/er/d.mp4"]
    assert said["deep/er/d.mp4"] == ["deep"]


def test_splits_are_by_name_and_grow():
    names = [f"clip-{number}.mp4" for number in range(400)]
    before, after = split_names(names[:300]), split_names(names)
    assert (
        sorted(after["train"] + after["validation"])
        == sorted(names)
        == sorted(after["all"])
    )
    assert 10 <= len(after["validation"]) <= 35
    assert set(before["validation"]) <= set(after["validation"])
    # Nothing moves but the one clip that is held out since there must be one.
    for count in range(5, 20):
        few, more = split_names(names[:count]), split_names(names[: count + 1])
        moved = set(few["validation"]) - set(more["validation"])
        assert len(moved) <= 1 and (not moved or len(few["validation"]) == 1)
        assert set(more["train"]) <= {*few["train"], *moved, names[count]}
    for count in range(4):
        few = split_names(names[:count])
        assert len(few["validation"]) == min(1, max(0, count - 1))
    assert len(split_names(names[:2])["train"]) == 1


def test_a_split_that_is_none_is_refused(mp4s):
    with pytest.raises(ValueError, match=r"train, validation or all, got 'test'"):
        open_folder(mp4s, "test")


def test_a_folder_without_clips_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a caption")
    (tmp_path / "b.tgz").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"holds no video and no .*\n  b.tgz: .*unpack"
    ):
        open_folder(tmp_path)
    with pytest.raises(ValueError, match="is no folder: check the spelling"):
        open_folder(tmp_path / "none")


def test_clips_that_cannot_be_read_are_left_out_with_their_reasons(mp4s, caplog):
    whole = (mp4s / "a.mp4").read_bytes()
    (mp4s / "a.mp4").write_bytes(whole[: len(whole) // 2])
    (mp4s / "b.mp4").write_bytes(b"")
    (mp4s / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    with caplog.at_level(logging.WARNING):
        store = open_folder(mp4s, "all")
    assert [clip.stored.name for clip in store.clips] == ["c.mp4"]
    assert [name for name, _ in store.left_out] == ["a.mp4", "b.mp4", "d.png"]
    assert (
        "clips that cannot be read: 3\n  a.mp4: 'a.mp4' cannot" in caplog.messages[-1]
    )
    (mp4s / "c.mp4").unlink()
    with pytest.raises(ValueError, match=r"none of 3 clips .* can be read(.|\n)*d.png"):
        open_folder(mp4s, "all")


def test_damaged_pictures_are_left_out(mp4s):
    image = io.BytesIO()
    clip_files.Image.fromarray(clip_files.rgb()[0]).save(image, "PNG")
    (mp4s / "cut.png").write_bytes(image.getvalue()[:-400])
    (reason,) = open_folder(mp4s, "all").left_out
    assert reason.name == "cut.png" and "cannot be read" in reason.reason


def test_links_lead_nowhere_outside(mp4s, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.mp4").write_bytes(clip_files.mp4(1))
    os.symlink(outside / "secret.mp4", mp4s / "secret.mp4")
    os.symlink(outside / "secret.mp4", mp4s / "c.txt")
    os.symlink(outside, mp4s / "folder")
    os.symlink(mp4s / "a.mp4", mp4s / "within.mp4")
    listing = list_folder(mp4s, "data.path")
    assert list(listing.files) == ["a.mp4", "b.mp4", "c.mp4", "within.mp4"]
    assert [name for name, _ in listing.left_out] == ["c.txt", "secret.mp4"]
    assert "leads outside" in listing.left_out[0].reason


def test_a_clip_that_changed_since_is_told(mp4s):
    store = open_folder(mp4s, "all")
    (mp4s / "a.mp4").write_bytes(clip_files.mp4(4))
    with pytest.raises(ValueError, match=r"'a.mp4' had \d+ bytes when .* start again"):
        store.content(0)
    (mp4s / "b.mp4").unlink()
    with pytest.raises(ValueError, match="does not exist"):
        store.content(1)


def test_scores_cut_clips_at_load_time(mp4s):
    (mp4s / "metadata.csv").write_text(
        "file_name,text,sharpness\na.mp4,a,1\nb.mp4,b,9\nc.mp4,c,nan\n"
    )
    store = open_folder(mp4s, "all")
    config = dataclasses.replace(CLIPS, cuts=(("sharpness", 5.0, 99.0),))
    source = open_stored(store, config)
    assert [source.spec(i).captions[0].texts for i in range(len(source))] == [
        ("b",),
        ("c",),
    ]


class Bucket(MemoryFileSystem):
    """What `gs://` is read by, in memory; walks leave the scheme out, as gcsfs's do."""

    protocol = ("gs", "gcs")
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]

    @classmethod
    def _strip_protocol(cls, path):
        return f"/{str(path).rpartition('://')[2].strip('/')}".rstrip("/")

    def walk(self, path, **options):
        for parent, *inside in super().walk(path, **options):
            yield parent.lstrip("/"), *inside


def test_a_bucket_is_a_folder(mp4s, monkeypatch):
    monkeypatch.setattr(Backend, "_get_filesystem", lambda self, name: Bucket())
    clip_files.write_tar(mp4s / "s.tar", {"d.mp4": clip_files.mp4(1), "d.txt": b"d"})
    (mp4s / "a.txt").write_text("a")
    for path in mp4s.iterdir():
        Bucket().pipe_file(f"gs://bucket/clips/in/{path.name}", path.read_bytes())
    store = open_folder("gs://bucket/clips", "all")
    assert texts(store) == {
        "in/a.mp4": ["a"],
        "in/b.mp4": [],
        "in/c.mp4": [],
        "in/s.tar/d.mp4": ["d"],
    }
    assert store.content(0) == clip_files.mp4(5)
    assert store.content(3) == clip_files.mp4(1)
