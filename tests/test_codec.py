"""The VAE reads and writes long videos and large frames in parts, within memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sora_jax
from sora_jax import host_memory, memory
from sora_jax.sampling import codec, tiles
from sora_jax.sharding import hosts
from tests.helpers.clips import psnr, smooth_clip


def test_a_long_video_is_decoded_in_chunks_that_equal_the_whole(weights):
    rng = np.random.default_rng(0)
    # An opening of 9 latents, a chunk of 8, and a last one that is padded.
    vae = weights.networks["vae"]
    latents = rng.normal(size=(1, 21, 2, 2, vae.config.channels))
    latents = jnp.asarray(latents, jnp.float32)
    chunks = list(codec.decode(vae, latents))
    assert [chunk.shape[1] for chunk in chunks] == [33, 32, 16]
    whole, _ = jax.jit(vae.decode)(latents, None)
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
