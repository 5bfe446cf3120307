"""Sampling repeats itself, keeps videos apart, and refuses what it cannot make."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import sora_jax
from sora_jax import cli, host_memory, memory
from sora_jax.config import SamplingConfig, SeenConfig
from sora_jax.data.video import to_uint8
from sora_jax.diffusion import conditioning
from sora_jax.sampling import codec, command, condition_encoding, flags, job, tiles
from sora_jax.sampling.model import Model
from sora_jax.sampling.request import Request
from sora_jax.sampling.tasks import Stretch
from sora_jax.sampling.window_sampler import (
    PromptCache,
    Window,
    WindowSampler,
    no_progress,
)
from sora_jax.sharding import hosts
from sora_jax.types import Condition
from sora_jax.weights import bundle
from tests.helpers.clips import psnr, smooth_clip


def test_the_same_seed_gives_the_same_video(model):
    first = model.generate("a red ball", seed=3)
    assert first.shape == (1, 5, 32, 32, 3)
    np.testing.assert_array_equal(first, model.generate("a red ball", seed=3))
    assert np.abs(first - model.generate("a red ball", seed=4)).max() > 1e-3


def test_a_video_does_not_depend_on_its_neighbours(model):
    alone = model.generate("a red ball", seed=3)
    both = model.generate(["a red ball", "a blue square"], seed=3)
    np.testing.assert_allclose(both[:1], alone, atol=1e-4)


def test_the_prompt_and_the_image_matter(model):
    plain = model.generate("a red ball", seed=3)
    assert np.abs(plain - model.generate("a blue square", seed=3)).max() > 1e-4
    mask = conditioning.given_frames_mask(5, 32, 32, [0])
    pixels = np.full((5, 32, 32, 3), 0.5, np.float32)
    condition = conditioning.grey_out(pixels, mask)
    assert isinstance(condition, Condition)
    shown = model.generate("a red ball", seed=3, condition=condition)
    assert np.abs(plain - shown).max() > 1e-4


def test_what_lies_below_unknown_pixels_does_not_matter(model):
    mask = conditioning.given_frames_mask(5, 32, 32, [0])
    pixels = np.full((5, 32, 32, 3), 0.5, np.float32)

    def seen(condition):
        _, extras = condition_encoding.encode_conditions(
            model.weights, [(1.0, [condition])]
        )
        return extras[0][1]

    hidden = seen(conditioning.grey_out(pixels, mask))
    np.testing.assert_array_equal(hidden, seen(Condition(pixels=pixels, mask=mask)))
    assert np.abs(hidden).max() > 0


def test_a_condition_of_another_shape_is_refused(model):
    mask = conditioning.empty_mask(5, 16, 64)  # as many pixels, elsewhere
    condition = Condition(pixels=np.zeros((5, 16, 64, 3), np.float32), mask=mask)
    with pytest.raises(
        ValueError, match=r"condition.mask must be of shape \(5, 32, 32"
    ):
        model.generate("a red ball", condition=condition)
    with pytest.raises(ValueError, match="(?s)frames must be.*size: width.*"):
        model.generate("a red ball", frames=6, size=(32, 40))


def test_a_long_video_is_decoded_in_chunks_that_equal_the_whole(weights):
    rng = np.random.default_rng(0)
    # An opening of 9 latents, a chunk of 8, and a last one that is padded.
    vae = weights.networks["vae"]
    latents = rng.normal(size=(1, 21, 2, 2, vae.config.channels))
    latents = jnp.asarray(latents, jnp.float32)
    chunks = list(codec.decode(vae, latents))
    assert [chunk.shape[1] for chunk in chunks] == [33, 32, 16]
    whole, _ = vae.decode(latents, None)
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), whole, atol=1e-5)


def test_large_frames_go_through_the_vae_few_at_a_time(monkeypatch):
    vae = sora_jax.load().weights.networks["vae"]
    clip = smooth_clip(17)[None]
    whole = codec.encode(vae, clip)
    monkeypatch.setattr(codec, "MOST_PIXELS", 4 * 64 * 64)
    assert codec.frames_at_once(vae.config, (64, 64)) == 1
    latents = codec.encode(vae, clip)
    np.testing.assert_allclose(latents, whole, atol=1e-4)


def test_tiles_blend_into_the_whole_frame():
    vae = sora_jax.load().weights.networks["vae"]
    clip = smooth_clip(9, 96, 160)[None]
    latents = codec.encode(vae, clip)
    whole = np.concatenate(list(codec.decode(vae, latents)), axis=1)
    tiled = np.concatenate(list(tiles.decode_tiles(vae, latents, 16)), axis=1)
    assert tiled.shape == whole.shape and psnr(tiled, whole) > 40
    one = np.concatenate(list(tiles.decode_tiles(vae, latents, 20)), axis=1)
    np.testing.assert_allclose(one, whole, atol=1e-6)


def test_frames_that_do_not_fit_are_tiled(model, monkeypatch):
    assert tiles.choose_tile(model.config.vae, (64, 64)) is None
    needed = codec.decoder_bytes(model.config.vae, (512, 512))
    monkeypatch.setattr(memory, "available", lambda mesh: needed)
    tile = tiles.choose_tile(model.config.vae, (1024, 1024))
    assert tile is not None and tiles.LEAST <= tile < 1024 // 8


def test_files_that_were_read_take_no_memory_of_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    assert host_memory.in_container() == np.inf
    (tmp_path / "memory.max").write_text("8000\n")
    (tmp_path / "memory.current").write_text("7900\n")
    assert host_memory.in_container() == 100
    (tmp_path / "memory.stat").write_text(
        "anon 400\nfile 7500\ninactive_file 6000\nactive_file 1000\n"
    )
    assert host_memory.in_container() == 7100
    (tmp_path / "memory.max").write_text("max\n")
    assert host_memory.in_container() == np.inf


@pytest.mark.parametrize("lacking", [0, 1])
@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.generate("a ball"),
        lambda model: model.extend(np.zeros((5, 32, 32, 3), np.float32), frames=4),
    ],
)
def test_hosts_refuse_together_what_one_cannot_hold(model, monkeypatch, ask, lacking):
    said = []

    def vote(value):  # as this host, which is the first of two
        said.append(value)
        return np.array([value, float(lacking)])

    monkeypatch.setattr(hosts, "_all", vote)
    if not lacking:
        monkeypatch.setattr(host_memory, "available", lambda: 1000)
    told = "host 1 could not go on" if lacking else r"frames: .* 0\.00 GiB"
    with pytest.raises(ValueError, match=told):
        ask(model)
    assert said == [float(not lacking)]


def test_devices_hold_parts_of_frames(model):
    config, size = model.config.vae, (512, 512)
    alone = tiles.decoding_bytes(config, size, 1)
    # Of six devices two share 64 x 64 cells, and the others do the same.
    assert tiles.decoding_bytes(config, size, 6) == alone // 2


def test_time_is_counted_in_the_frame_rate_of_training(weights):
    for fps, last in ((8.0, 1.0), (16.0, 0.5)):
        settings = dataclasses.replace(weights.config.sampling, fps=fps)
        request = Request(prompts=("a red ball",), settings=settings)
        rows = WindowSampler(weights, PromptCache(weights), request).rows(
            Window(frames=2)
        )
        assert rows.tokens.coords[..., 0].max() == last


def test_a_model_is_called_as_diffusers_calls_pipelines(model):
    made = model(
        "a red ball",
        num_frames=5,
        height=16,
        width=32,
        num_inference_steps=1,
        guidance_scale=1.0,
    )
    wanted = model.generate(
        "a red ball", frames=5, size=(16, 32), steps=1, guidance=1.0
    )
    np.testing.assert_array_equal(made, wanted)
    with pytest.raises(ValueError, match="give height and width"):
        model("a red ball", height=16)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_every_solver_runs(model, solver):
    made = model.generate("a red ball", solver=solver, steps=2, guidance=1.0)
    assert np.isfinite(made).all()


def test_weights_come_back_from_their_folder(weights, folder):
    loaded = bundle.load(folder)
    assert loaded.config == weights.config
    a, b = (w.networks["vae"].latent_std[...] for w in (loaded, weights))
    np.testing.assert_allclose(a, b, rtol=1e-2)


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


def test_what_a_model_has_never_seen_is_told_once(weights, caplog):
    seen = SeenConfig(sizes=((32, 32), (32, 48)), words=("a", "ball", "is", "red"))
    config = dataclasses.replace(weights.config, seen=seen)
    model = Model(dataclasses.replace(weights, config=config))
    for _ in range(2):
        model.generate("A red ball!", frames=1, steps=1, size=(32, 48))
    assert not caplog.messages
    for _ in range(2):
        model.generate("a red cat, 7", frames=1, steps=1, size=(64, 32), fps=5.0)
    size, rate, words = caplog.messages
    assert "was trained on 32x32, 48x32, not on 32x64" in size
    assert "on 8 frames per second, not on 5" in rate
    assert "not trained on 'cat': " in words
    caplog.clear()
    stretches = [
        Stretch(frame=0, prompt="a ball"),
        Stretch(frame=4, prompt="a ball " * 50),
        Stretch(frame=8, prompt="a dog", cut=True),
    ]
    model.storyboard(stretches, frames=12, steps=1, size=(32, 32))
    length, dog = caplog.messages
    room, count = weights.config.text.pad_to, weights.tokenizer.count("a ball " * 50)
    assert f"first {room} tokens" in length and f"has {count}" in length
    assert "not trained on 'dog'" in dog


def test_the_model_that_ships_answers_and_is_small(caplog):
    model = sora_jax.load()
    made = model.generate("a red ball on a green floor", frames=1, steps=1)
    assert not caplog.messages
    assert made.shape == (1, 1, 64, 64, 3) and np.isfinite(made).all()
    files = [path for path in bundle.ASSETS.iterdir() if path.is_file()]
    assert sum(path.stat().length for path in files) <= 11_000_000  # as the README says
