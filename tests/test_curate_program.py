"""`sora-jax data curate`: whole folders, killed and resumed, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
from PIL import Image

from sora_jax.commands import curate as program
from sora_jax.commands import data
from sora_jax.data import outputs
from sora_jax.data.curation import curate, drawing, journal
from sora_jax.data.curation.folder import media_files
from sora_jax.data.curation.shots import (
    CuratedShot,
    Line,
    UnreadableFile,
    clip_id,
    read_curation,
)
from tests.helpers.textures import moving, texture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips, a copy, a picture, a joined clip, a bad file, and what is no clip."""
    root = tmp_path_factory.mktemp("clips")
    (root / "sub").mkdir()
    clips = {"a": moving(0), "sub/b": moving(1), "copy": moving(0)}
    clips["joined"] = np.concatenate([moving(2), moving(3)])
    for name, frames in clips.items():
        outputs.write(root / f"{name}.mp4", [frames], 24)
    Image.fromarray(texture(4)).save(root / "picture é.png")
    (root / "bad.mp4").write_bytes(b"no video")
    (root / "notes.txt").write_text("none")
    (root / ".hidden.mp4").write_bytes(b"")
    return root


def curated(folder, out, **options):
    files = media_files(folder)
    return curate.curate(files, out, **{"workers": 0, "seconds": 60.0, **options})


def test_a_folder_is_curated(folder, tmp_path):
    out = tmp_path / "new" / "curation.jsonl"
    lines = curated(folder, out)
    names = [x.id if isinstance(x, CuratedShot) else x.file for x in lines]
    joined = ["joined.mp4#0", "joined.mp4#1"]
    ends = ["picture é.png", "sub/b.mp4"]
    assert names == ["a.mp4", "bad.mp4", "copy.mp4", *joined, *ends]
    assert isinstance(lines[1], UnreadableFile)
    shots = read_curation(out)
    assert shots == [line for line in lines if isinstance(line, CuratedShot)]
    copies = {shot.id: shot.duplicate_of for shot in shots if shot.duplicate_of}
    assert copies == {"copy.mp4": "a.mp4"}
    told = "\n".join(program.summary(lines))
    assert "6 shots in 5 files" in told and "1 near-duplicates" in told
    assert "bad.mp4: cannot be read as a video" in told
    assert list(tmp_path.rglob("*")) == [out.parent, out]


def test_what_is_finished_is_kept_and_what_changed_is_read_again(
    folder, tmp_path, monkeypatch
):
    out = tmp_path / "c.jsonl"
    whole = curated(folder, out)
    text = out.read_bytes()
    read = []
    real = curate.curate_file
    monkeypatch.setattr(
        curate, "curate_file", lambda path, name: read.append(name) or real(path, name)
    )
    assert curated(folder, out) == whole and read == []
    ends = np.cumsum([len(line) + 1 for line in text.splitlines()]).tolist()
    # Before the first line, within it, and between and within the shots of a file.
    for end in (0, 1, ends[3], ends[4] - 7):
        out.write_bytes(text[:end])
        assert curated(folder, out) == whole
        assert out.read_bytes() == text, end
    read.clear()
    changed = text.replace(json.loads(text.splitlines()[0])["hash"].encode(), b"xxh3:0")
    old = changed.replace(b'"version":1', b'"version":0', 3)
    out.write_bytes(old)
    assert curated(folder, out) == whole
    assert "a.mp4" in read and "sub/b.mp4" not in read
    # Files that are gone are left out.
    (tmp_path / "less").mkdir()
    os.link(folder / "a.mp4", tmp_path / "less" / "a.mp4")
    assert [x.file for x in curated(tmp_path / "less", out)] == ["a.mp4"]


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    (tmp_path / "clips").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    Image.fromarray(texture(0)).save(tmp_path / "clips" / "a.png")
    (tmp_path / "clips" / "a.png").rename(tmp_path / "clips" / name)
    for _ in range(2):
        (shot,) = curated(tmp_path / "clips", tmp_path / "c.jsonl")
        assert isinstance(shot, CuratedShot) and shot.file == r"caf\udce9.png"


@pytest.mark.parametrize(
    "text, why",
    [
        (b"my notes", "line 1 is no JSON line of this program"),
        (b"my notes\n", "line 1: "),
        (b'{"kind":"shot"}\n', "line 1: .*missing required field"),
        (b'{"kind":"error","file":"a","hash":"","error":""}\nx', "line 2 is no JSON"),
    ],
)
def test_a_file_of_something_else_is_left_alone(folder, tmp_path, text, why):
    out = tmp_path / "c.jsonl"
    out.write_bytes(text)
    with pytest.raises(ValueError, match=rf"--out .*c\.jsonl', {why}"):
        curated(folder, out)
    assert out.read_bytes() == text


def test_two_at_a_time_are_refused(folder, tmp_path):
    out = tmp_path / "c.jsonl"
    with journal.open_journal(out, Line) as (kept, lines):
        assert lines == []
        kept.append([])
        with pytest.raises(ValueError, match="is being written by another process"):
            curated(folder, out)
    with pytest.raises(ValueError, match="cannot be written"):
        curated(folder, tmp_path / "c.jsonl" / "d.jsonl")
    with pytest.raises(ValueError, match="is a folder|cannot be written"):
        curated(folder, tmp_path)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with journal.open_journal(tmp_path / "c.jsonl", Line) as (kept, _):
        bad = UnreadableFile(file="a", hash="", error="b")
        kept.append([bad])
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"--out .* cannot be written \(No space"):
            kept.append([bad])
        monkeypatch.undo()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="goes on from here"):
            kept.replace([])
    assert list(journal.read(tmp_path / "c.jsonl", Line, field="--out")) == [bad]
    assert len(list(tmp_path.iterdir())) == 1


def test_fields_are_checked(folder, tmp_path):
    out = tmp_path / "c.jsonl"
    shot = next(x for x in curated(folder, out) if isinstance(x, CuratedShot))
    good = json.loads(msgspec.json.encode(shot))
    wrong = {
        "file": ["/etc/passwd", "../a.mp4", "", "gs://a/b"],
        "shot": [1, -1],
        "stop_frame": [0],
        "stop_seconds": [-1.0],
        "crop": [{"top": 1, "left": 0, "height": 64, "width": 96}],
        "fps": [-1, "24"],
        "fingerprint": ["xyz"],
        "more": [1],
    }
    for name, values in wrong.items():
        for value in values:
            out.write_text(json.dumps({**good, name: value}) + "\n")
            with pytest.raises(ValueError, match="--curation .*line 1: "):
                read_curation(out)
    out.write_text(2 * (json.dumps(good) + "\n"))
    with pytest.raises(ValueError, match="has two shots 'a.mp4'"):
        read_curation(out)
    assert clip_id("a/b.mp4", 2, 3) == "a/b.mp4#2"


def test_the_report_shows_the_worst(folder, tmp_path):
    arguments = ["--from", str(folder), "--out", str(tmp_path / "c.jsonl")]
    curated(folder, tmp_path / "c.jsonl")  # so that no process need start
    data.main(["curate", *arguments, "--report", str(tmp_path / "report")])
    text = (tmp_path / "report" / "report.md").read_text()
    pictures = {path.name for path in (tmp_path / "report").glob("*.png")}
    named = {part.split(")")[0] for part in text.split("](")[1:]}
    assert named == pictures and "histogram_motion.png" in named
    for part in ("6 shots in 5 files", "## Near-duplicates", "`bad.mp4`: cannot be"):
        assert part in text
    for name in pictures:
        with Image.open(tmp_path / "report" / name) as image:
            assert image.width >= 128


def test_histograms_of_anything_are_drawn():
    for values in ([0.0], [3.0] * 9, [0.0, 1e9], list(np.random.rand(500))):
        drawing.histogram(np.asarray(values), "motion")


def test_what_is_wrong_with_the_flags_is_named(folder, tmp_path, monkeypatch, capsys):
    def refused(match, *flags):
        with pytest.raises(SystemExit, match=match):
            data.main(["curate", "--out", str(tmp_path / "c"), *flags])

    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    refused("no folder", "--from", str(tmp_path / "none"))
    refused("no picture and no video", "--from", str(tmp_path / "empty"))
    refused("--workers must be", "--from", str(folder), "--workers", "-1")
    refused("--timeout must be", "--from", str(folder), "--timeout", "0")
    refused("is inside --from", "--from", str(folder), "--report", f"{folder}/sub/r")
    refused("--duplicates must be", "--from", str(folder), "--duplicates", "1")
    with pytest.raises(ValueError, match="did you mean curate"):
        data.main(["curat"])
    with pytest.raises(SystemExit, match="0"):
        data.main([])
    assert "caption " in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "imagehash", None)
    monkeypatch.setitem(sys.modules, "pebble", None)
    refused(
        r"ImageHash and Pebble are not .*sora_jax\[curation\]", "--from", str(folder)
    )


def end_or_hang(path, name):
    """Curates a file, unless its name says what else to do."""
    if "dies" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hangs" in name:
        time.sleep(60)
    return [UnreadableFile(file=name, hash="", error="as expected")]


@pytest.mark.slow
def test_files_that_kill_their_process_or_hang_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(curate, "curate_file", end_or_hang)
    names = ["a", "dies", "hangs", *"bcdefg"]
    for name in names:
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    lines = curated(tmp_path, tmp_path / "c.jsonl", workers=2, seconds=5.0)
    errors = {line.file[:-4]: line.error for line in lines}
    assert "died with code" in errors.pop("dies")
    assert errors.pop("hangs") == "it took more than 5 seconds"
    assert set(errors.values()) == {"as expected"} and len(errors) == 7


@pytest.mark.slow
def test_killed_and_resumed_is_as_never_killed(tmp_path):
    (tmp_path / "clips").mkdir()
    for number in range(12):
        outputs.write(tmp_path / "clips" / f"{number}.mp4", [moving(number, 72)], 24)
    command = [sys.executable, "-m", "sora_jax", "data", "curate", "--workers", "1"]
    command += ["--from", str(tmp_path / "clips"), "--out"]
    out = tmp_path / "killed.jsonl"
    subprocess.run([*command, tmp_path / "whole.jsonl"], check=True)
    for _ in range(2):
        before = out.stat().st_size if out.exists() else 0
        running = subprocess.Popen([*command, out], stderr=subprocess.DEVNULL)
        while not out.exists() or out.stat().st_size == before:
            assert running.poll() is None
            time.sleep(0.01)
        running.kill()
        running.wait()
    assert len(out.read_bytes().splitlines()) < 12
    subprocess.run([*command, out], check=True)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
