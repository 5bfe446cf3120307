"""Captions beside clips, in every form that people have."""

import json
import logging
import os

import pytest

from sora_jax.data.sources import sidecars
from sora_jax.data.sources.folder import open_folder
from tests.helpers import clip_files
from tests.helpers.clip_files import texts

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


def test_captions_and_clips_without_each_other_are_counted_once(mp4s, caplog):
    (mp4s / "a.txt").write_text("a")
    (mp4s / "nothing.txt").write_text("no clip")
    (mp4s / "metadata.jsonl").write_text('{"file_name": "gone.mp4", "text": "gone"}')
    with caplog.at_level(logging.WARNING):
        open_folder(mp4s, "all")
    (line,) = caplog.messages
    assert "clips without a caption: 2 ('b.mp4', 'c.mp4')" in line
    assert "captions without a clip: 2 ('gone.mp4', 'nothing.txt')" in line


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


def test_a_row_keeps_each_phrasing_once():
    label = sidecars.from_row({"text": "a", "caption": ["a", " b ", 3], "x": True})
    assert label == sidecars.Label(("a", "b"), {})
