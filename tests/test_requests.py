"""Requests that cannot be met are refused before weights are loaded."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from sora_jax import cli
from sora_jax.config import SamplingConfig
from sora_jax.data.video import to_uint8
from sora_jax.sampling import command, flags, job
from sora_jax.sampling.window_sampler import no_progress


def test_the_command_writes_video_and_sidecar(folder, tmp_path):
    image = tmp_path / "start.png"
    Image.fromarray(to_uint8(np.zeros((20, 20, 3), np.float32))).save(image)
    arguments = flags.SampleFlags(
        prompt="a red ball",
        image=(str(image),),
        weights=str(folder),
        out=str(tmp_path / "clip.npy"),
        seed=5,
    )
    paths = [
        path
        for _ in range(2)
        for path in command.run(job.prepare(arguments), progress=no_progress)
    ]
    assert [path.rsplit("/", 1)[1] for path in paths] == ["clip.npy", "clip-1.npy"]
    first, second = (np.load(path) for path in paths)
    assert first.shape == (5, 32, 32, 3) and 0 <= first.min() and first.max() <= 1
    np.testing.assert_array_equal(first, second)
    sidecar = json.loads((tmp_path / "clip.npy.json").read_text())
    assert sidecar["prompt"] == "a red ball" and sidecar["seed"] == 5


BAD = {
    "--prompt is empty": {"prompt": "  "},
    "--prompt is missing": {"prompt": None},
    "--frames must be 1 \\+ 4k, got 6: try 5": {"frames": 6},
    "width must be a multiple of 16, got 40": {"size": "40x32"},
    "--size must be WIDTHxHEIGHT": {"size": "banana"},
    "--steps must be >= 1, got 0": {"steps": 0},
    "--fps must be from .* got nan": {"fps": float("nan")},
    "--fps must be from .* got 0.0001": {"fps": 0.0001},
    "--guidance must be >= 0 and finite": {"guidance": float("inf")},
    "--guidance must be >= 0 .* got -1": {"guidance": -1.0},
    "--frames 1 leaves nothing to sample": {"image": ("a.png",), "frames": 1},
    "is not UTF-8": {"prompt": None, "prompts": "LATIN"},
    "--image": {"image": ("missing.png",)},
    "--out": {"out": "/proc/none/clip.mp4"},
    "--seed must be from 0": {"seed": -1},
    "--variations must be >= 1": {"variations": 0},
    "--negative-prompt 'blur' does nothing": {
        "negative_prompt": "blur",
        "guidance": 1.0,
    },
    "--prompts 'missing.txt' does not exist": {
        "prompt": None,
        "prompts": "missing.txt",
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_requests_are_refused_before_loading(folder, message):
    latin = folder / "latin.txt"
    latin.write_bytes("été".encode("latin-1"))
    fields = {"prompt": "a ball", "weights": str(folder), **BAD[message]}
    if fields.get("prompts") == "LATIN":
        fields["prompts"] = str(latin)
    with pytest.raises(ValueError, match=message):
        job.prepare(flags.SampleFlags(**fields))


def test_several_problems_are_told_together(folder):
    arguments = flags.SampleFlags(
        prompt="a ball", weights=str(folder), frames=6, size="40x32"
    )
    with pytest.raises(ValueError, match="(?s)--frames.*--size"):
        job.prepare(arguments)
    unreadable = dataclasses.replace(arguments, size="banana")
    with pytest.raises(ValueError, match="(?s)--size.*'banana'.*--frames"):
        job.prepare(unreadable)


def test_prompts_that_cannot_be_read_are_one_problem(folder):
    arguments = flags.SampleFlags(prompts="missing.txt", weights=str(folder))
    with pytest.raises(
        ValueError, match="^--prompts 'missing.txt' does not exist; [^\n]*$"
    ):
        job.prepare(arguments)


def test_a_folder_without_weights_is_named(tmp_path):
    arguments = flags.SampleFlags(prompt="a ball", weights=str(tmp_path))
    with pytest.raises(
        ValueError, match="has neither model_index.json nor config.json"
    ):
        job.prepare(arguments)


def test_names_tell_what_is_in_a_file():
    assert cli.output_name("A big, red ball!") == "a-big-red-ball"
    assert cli.output_name("猫") == "video"
    assert cli.parse_size("80x48") == (48, 80)


def test_defaults_are_checked_too():
    with pytest.raises(ValueError, match="shift must be > 0"):
        dataclasses.replace(SamplingConfig(), shift=0.0)
