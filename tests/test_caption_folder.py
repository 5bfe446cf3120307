"""Clips of a folder are captioned: shots, failures, runs that were stopped."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from PIL import Image

from sora_jax.commands import data
from sora_jax.data import outputs
from sora_jax.data.curation import curate
from sora_jax.data.curation.caption_folder import caption_clips, clip_files
from sora_jax.data.curation.captioner import (
    Captions,
)
from sora_jax.data.curation.captions import (
    CaptionedClip,
    UncaptionedClip,
    read_captions,
)
from sora_jax.data.curation.endpoint import EndpointError
from sora_jax.data.curation.folder import media_files
from sora_jax.data.curation.prompt import prompt_hash
from sora_jax.data.curation.shots import read_curation
from tests.helpers import vision_stub
from tests.helpers.textures import moving, texture
from tests.helpers.vision_stub import good

KEY = "sk-secret"


EXPECTED = Captions(
    short="A red ball that bounces",
    dense="A red ball falls. It bounces twice.",
    camera="Static camera",
)


@dataclasses.dataclass
class Counting:
    """A captioner that counts, and fails for some clips."""

    asked: list
    fails: tuple = ()
    stops: str = ""

    def caption(self, frames, fps, hint):
        self.asked.append((hint.id, frames.shape, round(fps, 1), hint.text))
        if hint.id == self.stops:
            raise EndpointError("the key is wrong")
        if hint.id in self.fails:
            raise ValueError("the model does not like it")
        return Captions(short=f"clip {hint.id}")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    outputs.write(root / "a.mp4", [moving(0)], 24)
    outputs.write(root / "joined.mp4", [np.concatenate([moving(1), moving(2)])], 24)
    Image.fromarray(texture(4)).save(root / "picture.png")
    (root / "a.txt").write_text(" a ball\n")
    (root / "bad.mp4").write_bytes(b"no video")
    return root


def captioned(folder, out, captioner, shots=None, **options):
    clips = clip_files(media_files(folder), shots)
    options = {"model": "eye", "prompt": "xxh3:1", "workers": 2, "frames": 4, **options}
    return caption_clips(clips, captioner, out, **options)


def test_clips_are_captioned_and_failures_are_tried_again(folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    counting = Counting([], fails=("joined.mp4",))
    lines = captioned(folder, out, counting)
    assert sorted(counting.asked) == [
        ("a.mp4", (4, 64, 96, 3), 4.0, "a ball"),
        ("joined.mp4", (4, 64, 96, 3), 2.0, ""),
        ("picture.png", (1, 64, 96, 3), 0.0, ""),
    ]
    bad = {x.id: x.error for x in lines.values() if isinstance(x, UncaptionedClip)}
    assert bad["joined.mp4"] == "the model does not like it"
    assert "cannot be read as a video" in bad["bad.mp4"] and len(bad) == 2
    counting = Counting([])
    captioned(folder, out, counting)
    assert [name for name, *_ in counting.asked] == ["joined.mp4"]
    found = read_captions(out)
    assert set(found) == {"a.mp4", "joined.mp4", "picture.png"}
    assert found["a.mp4"].captions == Captions(short="clip a.mp4")
    assert (found["a.mp4"].model, found["a.mp4"].prompt) == ("eye", "xxh3:1")
    # A clip that is another one now is captioned again.
    outputs.write(tmp_path / "new.mp4", [moving(5)], 24)
    (tmp_path / "new.mp4").replace(folder / "a.mp4")
    counting = Counting([])
    captioned(folder, out, counting)
    assert [name for name, *_ in counting.asked] == ["a.mp4"]
    with pytest.raises(ValueError, match="holds captions of model 'eye'"):
        captioned(folder, out, counting, model="other")


def test_shots_are_captioned_without_their_borders(folder, tmp_path):
    bars = np.pad(np.maximum(moving(6), 90), ((0, 0), (16, 16), (0, 0), (0, 0)))
    outputs.write(folder / "bars.mp4", [bars], 24)
    curation = tmp_path / "c.jsonl"
    curate.curate(media_files(folder), curation, workers=0, seconds=60.0)
    counting = Counting([])
    shots = read_curation(curation)
    captioned(folder, tmp_path / "captions.jsonl", counting, shots)
    asked = {name: rest for name, *rest in counting.asked}
    assert set(asked) == {shot.id for shot in shots}
    assert {"joined.mp4#0", "joined.mp4#1"} <= set(asked)
    assert asked["bars.mp4"] == [(4, 64, 96, 3), 4.0, ""]
    with pytest.raises(ValueError, match="none of the 5 shots of --curation is of"):
        clip_files({"other.mp4": epath.Path(folder / "a.mp4")}, shots)
    (folder / "a.mp4").write_bytes((folder / "joined.mp4").read_bytes())
    lines = captioned(folder, tmp_path / "more.jsonl", Counting([]), shots)
    changed = lines["a.mp4"]
    assert isinstance(changed, UncaptionedClip) and "curate it again" in changed.error


def test_a_text_that_is_not_utf8_is_told(folder, tmp_path):
    (folder / "a.txt").write_bytes(b"\xff\xfe")
    line = captioned(folder, tmp_path / "c.jsonl", Counting([]))["a.mp4"]
    assert isinstance(line, UncaptionedClip) and "is not UTF-8" in line.error


def test_a_stopped_run_goes_on(folder, tmp_path):
    out = tmp_path / "c.jsonl"
    with pytest.raises(EndpointError):
        captioned(folder, out, Counting([], stops="picture.png"), workers=1)
    kept = set(read_captions(out))
    assert kept and "picture.png" not in kept
    # As a kill in the middle of a line leaves it.
    out.write_bytes(out.read_bytes() + b'{"kind":"capt')
    counting = Counting([])
    lines = captioned(folder, out, counting)
    again = {name for name, *_ in counting.asked}
    assert again == {"a.mp4", "joined.mp4", "picture.png"} - kept
    assert sum(isinstance(x, CaptionedClip) for x in lines.values()) == 3


def test_the_program_captions_a_folder(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "captions.jsonl"
    monkeypatch.setenv("MY_KEY", KEY)
    with vision_stub.running(good) as stub:
        flags = ["caption", "--from", str(folder), "--out", str(out), "--model", "eye"]
        flags += ["--endpoint", stub.url, "--key-variable", "MY_KEY", "--workers", "2"]
        data.main([*flags, "--frames", "3"])
        assert all(x["Authorization"] == f"Bearer {KEY}" for _, x, _ in stub.asked)
    told = capsys.readouterr().out
    assert "3 clips have captions" in told and "bad.mp4: " in told
    found = read_captions(out)["a.mp4"]
    assert found.captions == EXPECTED and found.prompt == prompt_hash()
    assert KEY not in out.read_text() + told
    with pytest.raises(SystemExit, match="--workers must be from 1 to 256, got 0"):
        data.main([*flags, "--workers", "0"])
