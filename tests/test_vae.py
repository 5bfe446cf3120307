"""The VAE is causal, streams exactly, and comes in both of Wan's families."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import VAEConfig
from sora_jax.models.vae import VAE, depth_to_space, space_to_depth
from sora_jax.models.vae_resampling import inflate
from sora_jax.nn import winograd
from sora_jax.nn.conv import convolve
from tests.helpers.tiny import make

FAMILIES = {
    "shortcuts": VAEConfig(encoder_width=4, decoder_width=4, channels=4),
    "repeated": VAEConfig(
        encoder_width=4, decoder_width=4, channels=4, time_shortcut="repeat"
    ),
    "plain": VAEConfig(
        patch=1,
        shortcuts=False,
        temporal_padding="zeros",
        encoder_width=4,
        decoder_width=8,
        channels=4,
        multipliers=(1, 1, 2, 2),
        stages=((1, 2), (2, 2), (2, 2)),
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def vae(request):
    return make(VAE, FAMILIES[request.param])


@pytest.fixture(scope="module")
def clip():
    return jax.random.uniform(jax.random.key(1), (1, 17, 16, 16, 3), minval=-1)


def test_latents_are_a_quarter_in_time_and_an_eighth_in_space(vae, clip):
    latents, _ = jax.jit(vae.encode)(clip)
    assert latents.shape == (1, 5, 2, 2, 4)
    image, _ = jax.jit(vae.encode)(clip[:, :1])
    np.testing.assert_allclose(image, latents[:, :1], atol=1e-5)


def test_encoding_in_chunks_equals_encoding_the_whole(vae, clip):
    encode = jax.jit(vae.encode)
    whole, _ = encode(clip)
    parts, cache = [], None
    for start, stop in ((0, 5), (5, 9), (9, 17)):
        part, cache = encode(clip[:, start:stop], cache)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-5)


def test_decoding_in_chunks_equals_decoding_the_whole(vae):
    latents = jax.random.normal(jax.random.key(2), (1, 4, 2, 2, 4))
    decode = jax.jit(vae.decode)
    whole, _ = decode(latents)
    assert whole.shape == (1, 13, 16, 16, 3)
    parts, cache = [], None
    for start, stop in ((0, 1), (1, 2), (2, 4)):
        part, cache = decode(latents[:, start:stop], cache)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-5)


def test_a_still_clip_has_the_latent_of_its_image_at_every_time(clip):
    vae = make(VAE, FAMILIES["shortcuts"])
    still = jnp.repeat(clip[:, :1], 9, axis=1)
    latents, _ = jax.jit(vae.encode)(still)
    np.testing.assert_allclose(latents, latents[:, :1].repeat(3, 1), atol=1e-5)


@pytest.mark.parametrize("start", ["fresh", "inflated"])
def test_a_still_clip_decodes_to_equal_frames_before_training_on_clips(clip, start):
    config = FAMILIES["repeated"]
    vae = make(VAE, config) if start == "inflated" else VAE(config, rngs=nnx.Rngs(0))
    latents, _ = jax.jit(vae.encode)(clip[:, :1])
    image, _ = jax.jit(vae.decode)(latents)
    if start == "inflated":
        inflate(vae)
    frames, _ = jax.jit(vae.decode)(latents.repeat(3, 1))
    assert float(jnp.std(image)) > 1e-3
    np.testing.assert_allclose(frames, image.repeat(9, 1), atol=1e-5)


def test_no_frame_depends_on_a_later_one(vae):
    latents = jax.random.normal(jax.random.key(3), (1, 4, 2, 2, 4))

    def frame(latents, index):
        return jnp.sum(vae.reconstruct(latents)[0][:, index] ** 2)

    # Frames 5..8 are the third latent frame.
    gradient = jax.jit(jax.grad(frame), static_argnums=1)(latents, 8)
    reach = np.abs(np.asarray(gradient)).sum(axis=(0, 2, 3, 4))
    assert (reach[:3] > 0).all()
    assert reach[3] == 0


def test_no_latent_depends_on_a_later_frame(vae, clip):
    def latent(clip):
        return jnp.sum(vae.posterior(clip)[0][:, 2] ** 2)

    reach = np.abs(np.asarray(jax.jit(jax.grad(latent))(clip))).sum(axis=(0, 2, 3, 4))
    assert (reach[:9] > 0).all()
    assert (reach[9:] == 0).all()


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"),
    [
        ((3, 3, 3), (1, 1, 1), ((1, 1), (1, 1))),
        ((3, 1, 1), (2, 1, 1), ((0, 0), (0, 0))),
        ((1, 3, 3), (1, 2, 2), ((0, 1), (0, 1))),
    ],
)
def test_convolving_by_frames_equals_xla_in_value_and_gradient(
    kernel, strides, padding
):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 6, 5))
    filters = jax.random.normal(jax.random.key(1), (*kernel, 5, 4)) / 10

    def results(implementation):
        def value(x, filters):
            y = convolve(
                x,
                filters,
                strides=strides,
                padding=padding,
                implementation=implementation,
            )
            return jnp.sum(jnp.sin(y)), y

        gradient = jax.jit(jax.grad(value, argnums=(0, 1), has_aux=True))
        grads, y = gradient(x, filters)
        return y, *grads

    for ours, theirs in zip(results("frames"), results("volume"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("taps", "size"), [(3, (12, 10)), (1, (2, 64))])
def test_winograd_equals_a_plain_convolution(taps, size, monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 5, *size, 6))
    filters = jax.random.normal(jax.random.key(1), (taps, 3, 3, 6, 4)) / 10
    padding = ((1, 1), (1, 1))
    whole = convolve(x, filters, padding=padding, implementation="volume")
    monkeypatch.setattr(winograd, "TILES", 20)
    made = winograd.convolve(x, filters)
    np.testing.assert_allclose(made, whole, atol=1e-5)


def test_wide_layers_equal_xla_in_value_and_gradient():
    x = jax.random.normal(jax.random.key(0), (1, 4, 64, 64, 64))
    filters = jax.random.normal(jax.random.key(1), (1, 3, 3, 64, 64)) / 24
    padding = ((1, 1), (1, 1))
    assert winograd.suits(x.shape, filters.shape, (1, 1, 1), padding)

    def value(x, implementation):
        y = convolve(x, filters, padding=padding, implementation=implementation)
        return jnp.sum(jnp.sin(y)), y

    for dtype, close in ((jnp.float32, 1e-4), (jnp.bfloat16, 0.1)):
        filters = filters.astype(dtype)
        (mine, y), (theirs, z) = (
            jax.jit(jax.grad(value, has_aux=True), static_argnums=1)(
                x.astype(dtype), implementation
            )
            for implementation in ("frames", "volume")
        )
        assert mine.dtype == y.dtype == dtype
        for a, b in ((mine, theirs), (y, z)):
            np.testing.assert_allclose(np.float32(a), np.float32(b), atol=close)


def test_winograd_takes_wide_layers_alone():
    wide, narrow = (1, 4, 64, 64, 64), (1, 4, 64, 64, 16)
    padding = ((1, 1), (1, 1))
    assert winograd.suits(wide, (3, 3, 3, 64, 64), (1, 1, 1), padding)
    assert not winograd.suits(narrow, (3, 3, 3, 16, 16), (1, 1, 1), padding)
    assert not winograd.suits(wide, (3, 3, 3, 64, 64), (1, 2, 2), padding)
    assert not winograd.suits(wide, (3, 1, 1, 64, 64), (1, 1, 1), ((0, 0), (0, 0)))


def test_folding_pixels_into_channels_is_undone():
    x = jax.random.normal(jax.random.key(0), (1, 2, 4, 6, 3))
    np.testing.assert_array_equal(depth_to_space(space_to_depth(x, 2), 2), x)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"blocks": 1000}, "vae.blocks must be from 1 to 8"),
        ({"stages": ((1, 2),) * 39, "multipliers": (1,) * 40}, "vae.stages .* most 7"),
        ({"multipliers": (1, 2, 10**9)}, "vae.multipliers must be from 1 to 64"),
        ({"multipliers": (1, 2, 64), "encoder_width": 2**20}, "from 1 to 1 each"),
        ({"patch": 2**16}, "vae.patch must be from 1 to 64"),
    ],
)
def test_what_is_compiled_layer_by_layer_is_bounded(fields, told):
    with pytest.raises(ValueError, match=told):
        VAEConfig(**fields)


def test_stages_and_multipliers_must_agree():
    with pytest.raises(ValueError, match="vae.multipliers"):
        VAEConfig(multipliers=(1, 2))
