"""What `sample.py` refuses of tasks, and what it makes of real files."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from sora_jax.config import PlaygroundConfig
from sora_jax.data import outputs
from sora_jax.data.decoding import read_video
from sora_jax.data.video import to_uint8
from sora_jax.sampling import checks, command, flags, job
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Keyframe
from sora_jax.sampling.window_sampler import no_progress
from sora_jax.weights.model_weights import weights_in_memory
from sora_jax.worlds.playground.source import Playground

FPS = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A clip of twelve frames, pictures, masks and storyboards."""
    path = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    outputs.write(path / "clip.mp4", [clip], FPS)
    Image.fromarray(clip[0]).save(path / "start.png")
    white = np.zeros((32, 32), np.uint8)
    white[8:16, 8:16] = 255
    Image.fromarray(white).save(path / "mask.png")
    Image.fromarray(white[:16]).save(path / "small.png")
    shots = [{"at": 0, "prompt": "a red ball"}, {"at": 0.5, "prompt": "a blue square"}]
    board = {"seconds": 1, "shots": shots}
    (path / "board.json").write_text(json.dumps(board))
    close = [shots[0], {"at": 0.01, "prompt": "a blue square"}]
    (path / "close.json").write_text(json.dumps({"seconds": 1, "shots": close}))
    unknown = {**board, "shots": [{**shots[0], "colour": "red"}]}
    (path / "unknown.json").write_text(json.dumps(unknown))
    return path


def ask(folder, files, **fields):
    """A command whose files lie in their folder."""
    named = {
        name: str(files / value) if name in ("mask", "storyboard") else value
        for name, value in fields.items()
    }
    for name in ("video", "image"):
        if name in named:
            named[name] = tuple(str(files / value) for value in named[name])
    fields = {"weights": str(folder), "out": str(files / "made.npy"), **named}
    return job.prepare(flags.SampleFlags(**fields))


CLIP = ("clip.mp4",)
GOOD = {
    # What is asked for, and the frames that come back.
    "animate": ({"image": ("start.png@0", "start.png@-1:0.5")}, 5),
    "extend": ({"video": CLIP, "frames": 3}, 15),
    "loop": ({"video": CLIP, "frames": 2}, 14),
    "connect": ({"video": (*CLIP, *CLIP), "frames": 2}, 26),
    "edit": ({"video": CLIP, "prompt": "a blue square"}, 12),
    "inpaint": ({"video": CLIP, "mask": "mask.png"}, 12),
    "insert": ({"video": CLIP, "span": ("0.5:0.75",)}, 14),
    "remove": ({"video": CLIP, "span": ("0.5:1",), "frames": 2}, 10),
    "storyboard": ({"storyboard": "board.json"}, 8),
    "upscale": ({"video": CLIP, "size": "64x64"}, 12),
}


@pytest.mark.parametrize("task", GOOD)
def test_every_task_is_prepared(folder, files, task):
    fields, frames = GOOD[task]
    prepared = ask(folder, files, task=task, window=13, **fields)
    assert f"{task}: {frames} frames" in prepared.summary


def test_what_is_known_survives_its_encoding(folder, files, tmp_path):
    clip = Playground(PlaygroundConfig(frames=((9, 1.0),)))[0].clip.pixels
    outputs.write(tmp_path / "clip.mp4", [to_uint8(clip)], FPS)
    asked = dict(task="extend", frames=4, steps=1, seed=3, prompt="a", size="64x64")
    made = []
    for suffix in ("npy", "mp4"):
        out = str(tmp_path / f"made.{suffix}")
        source = str(tmp_path / "clip.mp4")
        made += command.run(
            ask(folder, files, video=(source,), out=out, **asked), no_progress
        )
    known = np.load(made[0])[:9]
    error = np.mean((known - read_video(made[1]).pixels[:9] / np.float32(255)) ** 2)
    assert -10 * np.log10(error) >= 40


def test_a_clip_is_extended_from_file_to_file(folder, files):
    prepared = ask(
        folder, files, task="extend", video=CLIP, frames=4, steps=1, seed=3, prompt="a"
    )
    (path,) = command.run(prepared, no_progress)
    made, record = np.load(path), json.loads((files / "made.npy.json").read_text())
    assert made.shape == (16, 32, 32, 3)
    assert record["task"] == "extend" and record["video"] == str(files / "clip.mp4")


def test_what_a_storyboard_said_is_on_record(folder, files, tmp_path):
    shots = [{"at": 0, "prompt": "ein grüner Würfel"}]
    text = json.dumps({"seconds": 0.5, "shots": shots}, ensure_ascii=False)
    (tmp_path / "board.json").write_bytes(("\ufeff" + text).encode())
    board = str(tmp_path / "board.json")
    prepared = ask(folder, files, task="storyboard", storyboard=board)
    assert prepared.record == {"storyboard": board, "story": text, "fit": "crop"}


def test_a_storyboard_is_read_once(folder, tmp_path):
    shots = [{"at": 0, "prompt": "a ball"}]
    board = tmp_path / "board.json"
    board.write_text(json.dumps({"seconds": 0.5, "shots": shots}))
    given = {"weights": str(folder), "out": str(tmp_path / "a.mp4")}
    asked = checks.check_flags(
        flags.SampleFlags(task="storyboard", storyboard=str(board), **given)
    ).checked()
    board.unlink()
    assert job.prepare(asked).record["storyboard"] == str(board)


BAD = {
    "--video is missing: --task extend needs": {"task": "extend"},
    "--video is missing: --task connect needs": {"task": "connect"},
    "--image is missing: --task animate needs": {"task": "animate"},
    "--span is missing: --task insert needs": {"task": "insert", "video": CLIP},
    "--storyboard is missing": {"task": "storyboard"},
    "--size is missing: --task upscale needs": {"task": "upscale", "prompt": "a"},
    "--size must be larger than 32x32": {
        "task": "upscale",
        "prompt": "a",
        "size": "32x32",
    },
    "--fit pad does nothing without files": {"prompt": "a", "fit": "pad"},
    "--size must be .height, width. of 1": {"prompt": "a", "size": "0x0"},
    "--fps must be from": {"prompt": "a", "seconds": 2.0, "fps": 0.0},
    "--context must be at most the window": {
        "prompt": "a",
        "context": 13,
        "window": 9,
        "frames": 21,
    },
    "frames of a loop must be >= 2": {"task": "loop", "prompt": "a", "frames": 1},
    "--video must be two clips, got 1": {"task": "connect", "video": CLIP},
    "--mask does nothing with --task extend.*try --task inpaint": {
        "task": "extend",
        "video": CLIP,
        "mask": "mask.png",
    },
    "--mask is missing: --task inpaint needs": {"task": "inpaint", "video": CLIP},
    "--prompt is missing": {"task": "edit", "video": CLIP},
    "--prompt does nothing": {
        "task": "storyboard",
        "storyboard": "board.json",
        "prompt": "a",
    },
    "--frames does nothing": {
        "task": "edit",
        "video": CLIP,
        "prompt": "a",
        "frames": 9,
    },
    "--seconds.*--frames.*both given": {"prompt": "a", "seconds": 1.0, "frames": 9},
    "--seconds must be > 0": {"prompt": "a", "seconds": -1.0},
    "--steps 4 contradicts --preview": {"prompt": "a", "steps": 4, "preview": True},
    "--image: frame 9 is outside a video of 5": {"image": ("start.png@9",)},
    "--image: frames .0. are given twice": {"image": ("start.png", "start.png@-5")},
    "--image: strengths must be": {"image": ("start.png@0:1.5",)},
    "--image .* must be FILE, FILE@FRAME": {"image": ("start.png@first",)},
    "--image .* does not exist": {"image": ("none.png",)},
    "--span must be FROM:TO": {"task": "remove", "video": CLIP, "span": ("1",)},
    "overlap or are not sorted": {
        "task": "remove",
        "video": CLIP,
        "span": ("0.5:1", "0.75:1.25"),
    },
    "leaves nothing of the clip": {
        "task": "remove",
        "video": CLIP,
        "span": ("0.5:9",),
    },
    "begins after the clip's end at 1.5 seconds": {
        "task": "insert",
        "video": CLIP,
        "span": ("4:5",),
    },
    "--mask .* 32x16": {
        "task": "inpaint",
        "video": CLIP,
        "mask": "small.png",
    },
    "--outpaint must be larger": {
        "task": "inpaint",
        "video": CLIP,
        "outpaint": "32x32",
    },
    "--size: height must be a multiple of 16, got 40: try": {
        "task": "extend",
        "video": CLIP,
        "size": "32x40",
    },
    "--strength must be from 0 to 1": {
        "task": "edit",
        "video": CLIP,
        "prompt": "a",
        "strength": 2.0,
    },
    "unknown field": {"task": "storyboard", "storyboard": "unknown.json"},
    "set their times farther apart": {
        "task": "storyboard",
        "storyboard": "close.json",
    },
    "--window must be 1 \\+ 4k": {"prompt": "a", "window": 8},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_tasks_are_refused_before_loading(folder, files, message):
    before = set(files.iterdir())
    with pytest.raises(ValueError, match=message):
        ask(folder, files, **BAD[message])
    assert set(files.iterdir()) == before


def test_a_task_that_a_model_cannot_do_is_refused(weights):
    clip = np.zeros((9, 32, 32, 3), np.float32)
    config = dataclasses.replace(weights.config, mid_clip=False)
    from_text = dataclasses.replace(
        config,
        conditioning="nothing",
        dit=dataclasses.replace(config.dit, extra_channels=0),
    )
    model = Model(weights_in_memory(from_text, weights.tokenizer))
    with pytest.raises(ValueError, match="condition: the model .*use weights"):
        model.extend(clip, frames=4)
    with pytest.raises(ValueError, match="frames: .* got 21: make fewer"):
        model.generate("a", frames=21)
    model = Model(
        weights_in_memory(
            dataclasses.replace(from_text, conditioning="tokens"), weights.tokenizer
        )
    )
    with pytest.raises(ValueError, match="condition: .*the default ones"):
        model.connect(clip, clip, frames=3)
    with pytest.raises(ValueError, match="clips must be of one size"):
        model.connect(clip, clip[:, :16], frames=3)
    with pytest.raises(ValueError, match=r"floats in \[-1, 1\], got .* to 255"):
        model.extend(clip + 255, frames=4)
    with pytest.raises(ValueError, match="frames must be >= 1"):
        model.extend(clip, frames=0)
    with pytest.raises(ValueError, match="image is missing"):
        model.animate([])
    with pytest.raises(ValueError, match="fading: .*strengths"):
        model.animate([Keyframe(picture=clip[:1], strength=0.5)], "a ball", frames=5)


def test_a_picture_comes_back_as_it_was(folder, files):
    prepared = ask(folder, files, image=("start.png",), steps=1, seed=1)
    (path,) = command.run(prepared, no_progress)
    shown = np.round(np.load(path)[0] * 255).astype(np.uint8)
    np.testing.assert_array_equal(shown, np.asarray(Image.open(files / "start.png")))


def test_a_picture_or_a_storyboard_says_what_the_task_is():
    assert flags.SampleFlags(image=("a.png",)).task == "animate"
    assert flags.SampleFlags(storyboard="story.yaml").task == "storyboard"
    assert flags.SampleFlags(task="edit", storyboard="story.yaml").task == "edit"
