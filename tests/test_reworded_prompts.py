"""What a model does with a prompt that is reworded, and what it tells."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from sora_jax.data import outputs
from sora_jax.sampling import command, flags, job, resizing
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Stretch
from sora_jax.sampling.window_sampler import no_progress
from sora_jax.weights import bundle
from sora_jax.worlds.playground.expander import PlaygroundExpander

SHIPPED = bundle.describe(bundle.ASSETS)
QUICK = {"steps": 1, "guidance": 1.0}


@pytest.fixture(scope="module")
def speaking(weights):
    """A tiny model that has read and seen what the default one has."""
    seen = dataclasses.replace(SHIPPED.seen, sizes=((32, 32),))
    config = dataclasses.replace(weights.config, seen=seen)
    return dataclasses.replace(weights, config=config)


def test_a_model_tells_what_it_reads_and_makes_that(speaking, caplog):
    made = Model(speaking, expander=PlaygroundExpander()).generate(
        "a red ball moves diagonally", **QUICK
    )
    read = "a red ball moves up and to the right"
    assert caplog.messages[0] == f"'a red ball moves diagonally' is read as: {read}"
    plain = Model(speaking, expander=PlaygroundExpander(), rewords=False)
    np.testing.assert_array_equal(made, plain.generate(read, **QUICK))
    other = plain.generate("a red ball moves diagonally", **QUICK)
    assert not np.array_equal(made, other)
    assert sum("is read as" in line for line in caplog.messages) == 1


def test_a_cut_in_a_prompt_is_a_storyboard(speaking, caplog):
    ball, star = "a red ball on a green floor", "a blue star jumps"
    made = Model(speaking, expander=PlaygroundExpander()).generate(
        f"{ball}; cut to {star}", frames=13, **QUICK
    )[0]
    (line,) = caplog.messages
    assert line.endswith(f"is read as: {ball} | a blue star bounces")
    shots = [
        Stretch(frame=0, prompt=ball),
        Stretch(frame=6, prompt="a blue star bounces", cut=True),
    ]
    told = Model(speaking, expander=PlaygroundExpander()).storyboard(
        shots, frames=13, **QUICK
    )
    np.testing.assert_array_equal(made, told)
    caplog.clear()
    # Where there is no time for two shots, or several videos are asked for, it is told.
    Model(speaking, expander=PlaygroundExpander()).generate(
        f"{ball}, then {star}", frames=5, **QUICK
    )
    Model(speaking, expander=PlaygroundExpander()).generate(
        [f"{ball}, then {star}"] * 2, frames=13, **QUICK
    )
    lines = [line for line in caplog.messages if "write a storyboard" in line]
    assert len(lines) == 2 and "'blue'" not in str(lines)


def test_the_record_of_a_video_says_what_was_asked_for_and_read(speaking, tmp_path):
    bundle.save(tmp_path / "weights", speaking)
    prompt = "a red ball, then an aqua star"
    asked = {"weights": str(tmp_path / "weights"), "out": str(tmp_path / "made.npy")}
    asked |= {"frames": 13, **QUICK}
    arguments = flags.SampleFlags(prompt=prompt, **asked)
    (path,) = command.run(job.prepare(arguments), no_progress, PlaygroundExpander())
    record = json.loads((tmp_path / "made.npy.json").read_text())
    assert path.endswith("made.npy") and record["prompt"] == prompt
    assert record["read_as"] == "a red ball | a cyan star"


@pytest.mark.parametrize("task", ["animate", "extend"])
def test_the_record_tells_of_no_cut_where_none_was_made(speaking, tmp_path, task):
    bundle.save(tmp_path / "weights", speaking)
    Image.new("RGB", (32, 32)).save(tmp_path / "first.png")
    outputs.write(tmp_path / "first.mp4", [np.zeros((5, 32, 32, 3))], 8)
    file = {"image": (str(tmp_path / "first.png"),)}
    if task == "extend":
        file = {"video": (str(tmp_path / "first.mp4"),), "task": "extend"}
    asked = {"weights": str(tmp_path / "weights"), "out": str(tmp_path / "made.npy")}
    asked |= {"frames": 13, **QUICK, **file}
    arguments = flags.SampleFlags(prompt="a red ball, then an aqua star", **asked)
    list(command.run(job.prepare(arguments), no_progress, PlaygroundExpander()))
    record = json.loads((tmp_path / "made.npy.json").read_text())
    assert record["read_as"] == "a red ball, then a cyan star"


def test_a_file_that_is_much_resized_is_told(speaking, tmp_path, caplog):
    bundle.save(tmp_path / "weights", speaking)
    Image.new("RGB", (96, 32)).save(tmp_path / "wide.png")
    outputs.write(tmp_path / "small.mp4", [np.zeros((5, 32, 32, 3))], 8)
    asked = {"weights": str(tmp_path / "weights"), "out": str(tmp_path) + "/"}
    asked |= {"prompt": "a red ball", "frames": 5, **QUICK}
    wide = str(tmp_path / "wide.png")
    job.prepare(flags.SampleFlags(image=(f"{wide}@-1:0.5",), **asked))
    (line,) = caplog.messages
    assert "'wide.png' is 96x32 and becomes 32x32 (all but 32x32 of it is cut" in line
    caplog.clear()
    small = str(tmp_path / "small.mp4")
    job.prepare(flags.SampleFlags(task="extend", video=(small,), **asked))
    assert not caplog.messages
    assert "between grey bars" in resizing.describe_resizing(
        (720, 1280), (64, 64), "pad"
    )
    assert resizing.describe_resizing((1080, 1080), (64, 64), "crop") == (
        "is 1080x1080 and becomes 64x64"
    )


def test_refining_at_a_size_never_seen_is_told_to_make_it_worse(speaking, caplog):
    clip = np.zeros((5, 32, 32, 3), np.float32)
    Model(speaking, expander=PlaygroundExpander()).upscale(
        clip, "a red ball", size=(64, 64), **QUICK
    )
    Model(speaking, expander=PlaygroundExpander()).upscale(
        None, "a red ball", size=(48, 48), frames=5, **QUICK
    )
    assert len(caplog.messages) == 2
    for line, size in zip(caplog.messages, ("64x64", "48x48"), strict=True):
        assert f"not on {size}: expect a worse clip than resizing" in line
