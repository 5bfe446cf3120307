"""Causal models make videos block by block, and refuse what lies ahead."""

import dataclasses
import json
import logging
import os

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from sora_jax.config import CausalConfig, recipe_settings
from sora_jax.data.patches import patchify
from sora_jax.sampling import blocks, codec, command, denoising, job, live, spellings
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.tasks import Keyframe, Stretch
from sora_jax.sampling.window_rows import Window
from sora_jax.sampling.window_sampler import WindowSampler
from sora_jax.weights import folders
from sora_jax.weights.model_weights import LazyNetworks
from tests.helpers import tiny_wan
from tests.test_folders import same_parameters

PROMPT = "a red ball"
FRAMES, TOKENS = 33, 12  # three blocks of three latents; tokens of a block
CLIP = np.random.default_rng(0).uniform(-1, 1, (9, 32, 32, 3)).astype(np.float32)
PICTURE = CLIP[:1]


@pytest.fixture(scope="module")
def causal(tiny):
    """Weights of a small causal Wan."""
    return tiny_wan.causal(tiny)


@pytest.fixture(scope="module")
def model(causal):
    return Model(causal)


@pytest.fixture(scope="module")
def made(model):
    """The chunks of a video."""
    return list(model.stream(PROMPT, frames=FRAMES, seed=3))


def sampler_of(weights, **settings):
    settings = weights.config.sampling.asked(frames=FRAMES, **settings)
    request = Request(prompts=(PROMPT,), settings=settings, seed=3)
    return WindowSampler(weights, PromptCache(weights), request)


def by_hand(sampler):
    """Loop R, each step one masked pass over the clean past and the noisy block."""
    dit, request, clean = sampler.weights.networks["dit"], sampler.request, []
    times = [*sampler.table.times, 0.0]
    run = jax.jit(dit)
    for number in range(3):
        batch = sampler.rows(Window(frames=3 * (number + 1)))
        contexts = sampler.prompt_cache.contexts(batch)
        here = slice(TOKENS * number, None)
        shape = (TOKENS, batch.tokens.x.shape[2])
        is_noisy = np.arange(batch.tokens.x.shape[1]) >= here.start
        x = denoising.draw_noise(request, number, shape)
        for i, (time, after) in enumerate(zip(times[:-1], times[1:], strict=True)):
            tokens = dataclasses.replace(
                batch.tokens,
                x=np.concatenate([*clean, x], axis=1),
                levels=np.array([[0.0, time]], np.float32),
                level_ids=is_noisy[None].astype(np.int32),
                order=np.int32(batch.tokens.coords[..., 0] // 3),
            )
            velocity = run(jax.tree.map(jnp.asarray, tokens), contexts)[:, here]
            fresh = denoising.draw_noise(request, number, shape, i)
            x = (1 - after) * (x - time * velocity) + after * fresh
        clean.append(x)
    return np.concatenate(clean, axis=1)


def test_blocks_are_those_of_one_masked_pass(causal, made):
    sampler = sampler_of(causal)
    latents = np.concatenate(list(blocks.latent_blocks(sampler)), axis=1)
    rows = np.stack([patchify(each, causal.config.dit.patch) for each in latents])
    np.testing.assert_allclose(rows, by_hand(sampler), rtol=1e-4, atol=1e-4)
    # And frames are those of all latents, decoded at the end.
    assert [chunk.shape[1] for chunk in made] == [9, 12, 12]
    whole = np.concatenate(list(codec.decode(causal.vae, latents)), axis=1)
    np.testing.assert_allclose(np.concatenate(made, axis=1), whole, atol=1e-4)


def test_frames_leave_as_they_are_made(model, made, caplog):
    """No later block is made for them; one program serves all, rolled or not."""
    numbers = []

    def progress(each, unit):
        for number in each:
            numbers.append(number) if unit == "block" else None
            yield number

    ask = {"frames": 57, "window": 21, "seed": 3, "progress": progress}
    stream = model.stream(PROMPT, **ask)
    np.testing.assert_allclose(next(stream), made[0], atol=1e-5)
    assert numbers == [0]
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        rest = [next(stream)]
        caplog.clear()
        rest += list(stream)
    assert numbers == [0, 1, 2, 3, 4]
    assert [x for x in caplog.messages if x.startswith("Compiling")] == []
    # What has rolled out of the window is not seen: the third block differs.
    np.testing.assert_allclose(rest[0], made[1], atol=1e-5)
    assert np.abs(rest[1] - made[2]).max() > 1e-3
    assert all(np.isfinite(chunk).all() for chunk in rest)


def test_videos_of_any_length_and_number(model, made):
    """The last block is made whole and shown in part."""
    whole, cut = np.concatenate(made, 1), model.generate(PROMPT, frames=29, seed=3)
    np.testing.assert_allclose(cut, whole[:, :29], atol=1e-4)
    assert model.generate(PROMPT, frames=1).shape == (1, 1, 32, 32, 3)
    guided = model.generate([PROMPT, "a blue square"], frames=21, guidance=2.0, steps=1)
    assert guided.shape == (2, 21, 32, 32, 3) and np.isfinite(guided).all()


def test_given_frames_come_first(model, causal):
    longer = model.extend(CLIP, PROMPT, frames=14, seed=3)
    assert longer.shape == (23, 32, 32, 3)
    np.testing.assert_array_equal(longer[:9], CLIP)
    other = model.extend(CLIP[::-1], PROMPT, frames=14, seed=3)
    assert np.abs(longer[9:] - other[9:]).max() > 1e-3
    with pytest.raises(ValueError, match="video must have at least 9 frames"):
        model.extend(CLIP[:5], PROMPT)
    # The first picture alone, of models that take it.
    for given in ({"first_alone": True}, {"part_given": True}):
        how = dataclasses.replace(causal.config.causal, **given)
        config = dataclasses.replace(causal.config, causal=how)
        one = Model(dataclasses.replace(causal, config=config))
        made = one.animate([Keyframe(picture=PICTURE)], PROMPT, frames=21, steps=2)
        np.testing.assert_array_equal(made[:1], PICTURE)
        assert made.shape == (21, 32, 32, 3) and np.isfinite(made).all()


def test_an_edited_clip_and_a_storyboard(model):
    edited = model.edit(CLIP, PROMPT, strength=0.5)
    assert edited.shape == CLIP.shape
    shots = [Stretch(frame=0, prompt=PROMPT), Stretch(frame=12, prompt="a blue square")]
    told = model.storyboard(shots, frames=21, seed=3)
    plain = model.generate(PROMPT, frames=21, seed=3)[0]
    np.testing.assert_allclose(told[:9], plain[:9], atol=1e-4)
    assert np.abs(told - plain).max() > 1e-3


MASK = np.zeros(CLIP.shape[:3], np.float32)
MASK[:, :8] = 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda m: m.animate([Keyframe(picture=PICTURE, frame=-1)]),
            "cannot look ahead",
        ),
        (lambda m: m.inpaint(CLIP, MASK, PROMPT), "cannot look ahead: frames 0 to 8"),
        (lambda m: m.connect(CLIP, CLIP, PROMPT), "cannot look ahead"),
        (lambda m: m.loop(CLIP, PROMPT), "cannot look ahead"),
        (lambda m: m.extend(CLIP, direction="backward"), "cannot look ahead"),
        (
            lambda m: m.animate([Keyframe(picture=PICTURE)], frames=9),
            r"in whole blocks \(9, 21, 33, … frames\), got 1",
        ),
        (
            lambda m: m.generate(PROMPT, frames=33, window=9),
            "window must be at least 13 frames",
        ),
        (
            lambda m: m.generate(PROMPT, cache="magcache", cache_curve=((1.0, 1.0),)),
            "cache must be none",
        ),
    ],
)
def test_what_lies_ahead_is_refused_before_any_network_loads(causal, ask, message):
    unread = dataclasses.replace(causal, networks=LazyNetworks({}))
    with pytest.raises(ValueError, match=f"{message}"):
        ask(Model(unread))


def test_a_field_of_the_folder_says_that_it_is_causal(causal, exported, tmp_path):
    path = tiny_wan.lay_out(causal, exported, tmp_path / "original")
    config = folders.describe(path)
    assert config.causal == causal.config.causal and config.conditioning == "tokens"
    assert config.sampling == dataclasses.replace(
        config.sampling, **recipe_settings("self_forcing")
    )
    # The names as they are in the publishers' checkpoints.
    file = path / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file({f"model.{k}": x for k, x in tensors.items()}, file)
    same_parameters(folders.load_network(path, "dit"), causal.networks["dit"])
    told = json.loads((path / "config.json").read_text())
    for wrong, message in (
        ({"block": 3, "windw": 21}, "causal: .*windw"),
        ({"block": 9, "window": 9}, "causal.window must be more than"),
    ):
        (path / "config.json").write_text(json.dumps({**told, "causal": wrong}))
        with pytest.raises(ValueError, match=message):
            folders.describe(path)


@pytest.mark.parametrize(("block", "first"), [(3, 3), (3, 1), (2, 2), (4, 1), (1, 1)])
def test_decoding_block_by_block_is_decoding_at_once(causal, block, first, monkeypatch):
    monkeypatch.setattr(codec, "MOST_FRAMES", 3)
    how = CausalConfig(block=block, window=9, first_alone=first < block)
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(1, 8, 4, 4, 16)).astype(np.float32)
    decoder, made = codec.StreamDecoder(causal.vae, (32, 32), block), []
    for start, stop in how.spans(8):
        made += decoder.decode(latents[:, start:stop], is_last=stop >= 8)
    whole = np.concatenate(list(codec.decode(causal.vae, latents)), axis=1)
    np.testing.assert_allclose(np.concatenate(made, axis=1), whole, atol=1e-4)


def test_frames_are_shown_while_they_are_made(
    model, causal, exported, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(command, "load", lambda *_, **__: model)  # it is in memory
    path = str(tiny_wan.lay_out(causal, exported, tmp_path / "original"))
    target, out = tmp_path / "now.mp4", str(tmp_path / "whole.mp4")
    asked = ["--weights", path, "--prompt", PROMPT, "--out", out]
    asked += ["--frames", "21", "--size", "32x32"]
    arguments = spellings.parse([*asked, "--live", str(target)])
    grown = []

    def progress(numbers, unit):
        for number in numbers:
            if unit == "block" and number:
                with av.open(str(target)) as video:
                    grown.append(len(list(video.decode(video=0))))
            yield number

    with caplog.at_level(logging.INFO):
        (made,) = command.run(job.prepare(arguments), progress)
    assert grown == [8]  # of nine: a frame is complete when the next one comes
    told = "\n".join(caplog.messages)
    assert "the first frames came after" in told and "frames a second came" in told
    for file in (target, made):
        with av.open(str(file)) as video:
            assert len(list(video.decode(video=0))) == 21
    # What is there is not overwritten, and other models have nothing to show.
    arguments = spellings.parse([*asked, "--live", str(target), "--variations", "2"])
    with pytest.raises(ValueError, match="(?s)shows one video.*is not overwritten"):
        job.prepare(arguments)
    arguments = spellings.parse(["--prompt", PROMPT, "--live", "-"])
    with pytest.raises(ValueError, match="--live '-' .* all frames of a window"):
        job.prepare(arguments)
    # A viewer who leaves is no reason to stop.
    reader, writer = os.pipe()
    os.close(reader)
    chunks = [np.zeros((4, 320, 320, 3), np.float32)] * 2
    with open(writer, "wb") as pipe:
        view = live.shown(iter(chunks), f"/dev/fd/{pipe.fileno()}", 8.0, 0.0)
        assert len(list(view)) == 2


def test_a_model_of_another_family_streams_too(weights):
    """One with conditioning channels, whose time runs in frames of its own rate."""
    how = CausalConfig(block=2, window=5, sink=1, first_alone=True, part_given=True)
    config = dataclasses.replace(weights.config, causal=how)
    model = Model(dataclasses.replace(weights, config=config))
    picture = Keyframe(picture=PICTURE)
    made = model.animate([picture], PROMPT, frames=33, fps=16.0, steps=2)
    np.testing.assert_array_equal(made[:1], PICTURE)
    assert made.shape == (33, 32, 32, 3) and np.isfinite(made).all()
    with pytest.raises(ValueError, match="fading: the model tiny has no strengths"):
        model.animate([dataclasses.replace(picture, strength=0.5)], PROMPT, frames=9)
