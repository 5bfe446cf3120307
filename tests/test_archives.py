"""WebDataset archives as clips: captions, damage, members that lead elsewhere."""

import io
import json
import os
import tarfile

import pytest
from etils import epath

from sora_jax import limits
from sora_jax.data.sources import archives
from sora_jax.data.sources.folder import open_folder
from tests.helpers import clip_files
from tests.helpers.clip_files import texts


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
