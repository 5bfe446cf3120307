"""Folders of clips: every kind of file, captions in all forms, and bad input."""

import dataclasses
import io
import json
import logging
import os
import pickle
import tarfile
from typing import ClassVar

import numpy as np
import pytest
from etils import epath
from etils.epath.backend import _FileSystemSpecBackend as Backend
from fsspec.implementations.memory import MemoryFileSystem

from sora_jax import limits
from sora_jax.config import ClipsConfig
from sora_jax.data.sources import archives, sidecars
from sora_jax.data.sources.folder import open_folder, split_names
from sora_jax.data.sources.listing import list_folder
from sora_jax.data.sources.stored import open_stored
from tests.helpers import clip_files

CLIPS = ClipsConfig(path="clips", split="all", frames=25)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return open_folder(clip_files.write_kinds(tmp_path_factory.mktemp("kinds")), "all")


@pytest.fixture
def mp4s(tmp_path):
    """A folder of three clips."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(clip_files.mp4(5))
    return tmp_path


def texts(store):
    return {
        clip.stored.name: [text for c in clip.stored.spec.captions for text in c.texts]
        for clip in store.clips
    }


# --- files ---------------------------------------------------------------------------


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


# --- captions ------------------------------------------------------------------------

TABLES = {
    "metadata.csv": (
        "file_name,text,score,note\n"
        'a.mp4,"one, two",0.5,x\n'
        "a.mp4,another,0.5,y\n"
        "b.mp4,two,2,\n"
    ),
    "metadata.jsonl": (
        '{"file_name": "a.mp4", "caption": ["one, two", "another"], "score": 0.5}\n\n'
        '{"file_name": "./b.mp4", "text": "two", "score": 2, "note": null}\n'
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_hold_captions_and_scores(mp4s, name):
    (mp4s / name).write_text("\ufeff" + TABLES[name], encoding="utf-8")
    store = open_folder(mp4s, "all")
    expected = {"a.mp4": ["one, two", "another"], "b.mp4": ["two"], "c.mp4": []}
    assert texts(store) == expected
    scores = [clip.stored.spec.scores for clip in store.clips]
    assert scores == [{"score": 0.5}, {"score": 2.0}, {}]


def test_a_table_speaks_of_its_own_folder(mp4s):
    (mp4s / "in").mkdir()
    (mp4s / "a.mp4").rename(mp4s / "in" / "a.mp4")
    (mp4s / "in" / "metadata.csv").write_text("file_name,caption\na.mp4,inside\n")
    (mp4s / "metadata.csv").write_text(
        "file_name,caption\nb.mp4,b\nin\\a.mp4,outside\n../c.mp4,elsewhere\n"
    )
    said = texts(open_folder(mp4s, "all"))
    assert said == {"b.mp4": ["b"], "c.mp4": [], "in/a.mp4": ["inside", "outside"]}


def test_several_forms_are_joined(mp4s):
    (mp4s / "a.txt").write_text("first\r\n\n  second \n")
    (mp4s / "metadata.csv").write_text("file_name,text,caption\na.mp4,third,second\n")
    assert texts(open_folder(mp4s, "all"))["a.mp4"] == ["first", "second", "third"]


def test_archives_hold_clips_with_captions(tmp_path):
    video, picture = clip_files.mp4(5), io.BytesIO()
    clip_files.Image.fromarray(clip_files.rgb()[0]).save(picture, "PNG")
    clip_files.write_tar(
        tmp_path / "shard-0.tar",
        {
            "0001.mp4": video,
            "0001.txt": b"first\nagain",
            "deep/0002.png": picture.getvalue(),
            "deep/0002.json": json.dumps({"caption": "second", "nsfw": 0.1}).encode(),
            "0003.mp4": video,
            "readme.md": b"nothing",
        },
    )
    (tmp_path / "0003.txt").write_text("of another place")
    (tmp_path / "own.mp4").write_bytes(video)
    store = open_folder(tmp_path, "all")
    assert texts(store) == {
        "own.mp4": [],
        "shard-0.tar/0001.mp4": ["first", "again"],
        "shard-0.tar/0003.mp4": [],
        "shard-0.tar/deep/0002.png": ["second"],
    }
    assert store.describe(3).spec.scores == {"nsfw": 0.1}
    assert store.content(1) == store.content(0) == video
    assert store.content(3) == picture.getvalue()


def test_captions_and_clips_without_each_other_are_counted_once(mp4s, caplog):
    (mp4s / "a.txt").write_text("a")
    (mp4s / "nothing.txt").write_text("no clip")
    (mp4s / "metadata.jsonl").write_text('{"file_name": "gone.mp4", "text": "gone"}')
    with caplog.at_level(logging.WARNING):
        open_folder(mp4s, "all")
    (line,) = caplog.messages
    assert "clips without a caption: 2 ('b.mp4', 'c.mp4')" in line
    assert "captions without a clip: 2 ('gone.mp4', 'nothing.txt')" in line


# --- splits --------------------------------------------------------------------------


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


# --- bad input -----------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"file_name,text\n\xff,a", "metadata.csv' is not UTF-8"),
        ("metadata.csv", b"file_name,text,text\na.mp4,a,b", "two columns 'text': ren"),
        ("metadata.csv", b"name,text\na.mp4,a", "no column file_name, but"),
        (
            "metadata.csv",
            b"file_name,text\na.mp4,a, b",
            '3 values for 2 .* in "quotes"',
        ),
        ("metadata.csv", b"file_name,prompt\na.mp4,a", "'text' or 'caption'"),
        ("metadata.csv", b"file_name,text\n,a", "no file_name in line 2"),
        ("metadata.csv", b'file_name,text\na.mp4,"a', "cannot be read .*line"),
        ("metadata.jsonl", b'{"file_name": 3}', "no file_name in line 1"),
        ("metadata.jsonl", b'{"file_name": "a.mp4"', "line 1, is no JSON object"),
        ("metadata.jsonl", b"[1]", "line 1, is no JSON object"),
    ],
)
def test_caption_files_that_cannot_be_read_are_named(mp4s, name, content, message):
    (mp4s / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_folder(mp4s, "all")


def test_texts_that_cannot_be_read_are_left_out_with_their_reasons(mp4s, caplog):
    (mp4s / "a.txt").write_bytes("café".encode("latin-1"))
    os.symlink(mp4s / "gone.txt", mp4s / "b.txt")
    (mp4s / "c.txt").write_text("c")
    members = {"d.mp4": clip_files.mp4(1), "d.txt": b"\xff"}
    members |= {"e.mp4": clip_files.mp4(1), "e.json": b"{"}
    clip_files.write_tar(mp4s / "s.tar", members)
    os.mkfifo(mp4s / "pipe.tar")
    os.mkfifo(mp4s / "pipe.mp4")
    os.symlink(mp4s / "gone.tar", mp4s / "link.tar")
    store = open_folder(mp4s, "all")
    assert texts(store) == {
        "a.mp4": [],
        "b.mp4": [],
        "c.mp4": ["c"],
        "s.tar/d.mp4": [],
        "s.tar/e.mp4": [],
    }
    reasons = dict(store.left_out)
    assert sorted(reasons) == [
        "a.txt",
        "b.txt",
        "link.tar",
        "pipe.mp4",
        "pipe.tar",
        "s.tar/d.txt",
        "s.tar/e.json",
    ]
    assert "is not UTF-8 text" in reasons["a.txt"]
    assert "save it as UTF-8" in reasons["s.tar/d.txt"]
    assert "does not exist" in reasons["b.txt"]
    assert "is a pipe" in reasons["pipe.tar"] and "is a pipe" in reasons["pipe.mp4"]
    assert "files left out: 6 ('link.tar', 'pipe.tar', 'a.txt' and" in caplog.text


def test_lines_end_at_line_feeds_only(mp4s):
    strange = "a\u2028b\u2029c\x85d"
    (mp4s / "a.txt").write_text(f"{strange}\r\nsecond", newline="")
    row = json.dumps({"file_name": "b.mp4", "text": strange}, ensure_ascii=False)
    (mp4s / "metadata.jsonl").write_text(f"{row}\n")
    said = texts(open_folder(mp4s, "all"))
    assert (said["a.mp4"], said["b.mp4"]) == ([strange, "second"], [strange])


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


def test_members_of_archives_lead_nowhere_outside(tmp_path, monkeypatch):
    video = clip_files.mp4(1)
    path = tmp_path / "bad.tar"
    members = {"../up.mp4": video, "/root.mp4": video, "good.mp4": video}
    clip_files.write_tar(path, members)
    with tarfile.open(path, "a") as tar:
        for kind, name in ((tarfile.SYMTYPE, "link.mp4"), (tarfile.CHRTYPE, "dev.mp4")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    store = open_folder(tmp_path, "all")
    assert [clip.stored.name for clip in store.clips] == ["bad.tar/good.mp4"]
    assert len(store.left_out) == 4
    monkeypatch.setattr(limits, "CLIP_BYTES", len(video) - 1)
    found = archives.read_archive(epath.Path(path), "bad.tar")
    assert "more than" in dict(found.left_out)["bad.tar/good.mp4"]
    monkeypatch.setattr(limits, "ARCHIVE_MEMBERS", 2)
    found = archives.read_archive(epath.Path(path), "bad.tar")
    assert "smaller archives" in dict(found.left_out)["bad.tar"]


def test_damaged_archives_are_read_as_far_as_they_go(tmp_path):
    video = clip_files.mp4(5)
    path = clip_files.write_tar(
        tmp_path / "s.tar", {"a.mp4": video, "b.mp4": video, "c.mp4": video}
    )
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"c.mp4") + 700])
    store = open_folder(tmp_path, "all")
    assert [clip.stored.name for clip in store.clips] == ["s.tar/a.mp4", "s.tar/b.mp4"]
    assert {name for name, _ in store.left_out} & {"s.tar", "s.tar/c.mp4"}
    path.write_bytes(b"\0" * 7 + os.urandom(2000))
    with pytest.raises(ValueError, match="holds no video"):
        open_folder(tmp_path, "all")


def test_a_header_that_would_fill_memory_is_not_read(tmp_path):
    huge = tarfile.TarInfo("././@LongLink")
    huge.type, huge.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "s.tar"
    path.write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + b"a" * 1024)
    found = archives.read_archive(epath.Path(path), "s.tar")
    assert not found.members and "header of" in found.left_out[0].reason


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


def test_a_row_keeps_each_phrasing_once():
    label = sidecars.from_row({"text": "a", "caption": ["a", " b ", 3], "x": True})
    assert label == sidecars.Label(("a", "b"), {})


# --- buckets -------------------------------------------------------------------------


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
