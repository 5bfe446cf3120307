"""Each network equals the reference's, in value and gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from etils import epath
from flax import nnx
from PIL import Image

from sora_jax.config import PictureConfig
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.data.picture_inputs import DEVIATION, MEAN, picture_input
from sora_jax.data.video import to_float
from sora_jax.families import WAN
from sora_jax.families.family import TensorFiles
from sora_jax.families.wan import network_json, picture_json
from sora_jax.types import Context, Tokens
from sora_jax.weights.network import StoredNetwork, read_headers
from tests.parity import reference

CLOSE = 1e-4
GRADIENT = 1e-3
CLASS = "WanTransformer3DModel"


def load(name, module, config, folder, constants=None):
    """Save a module of the reference and load it as ours."""
    module.save_pretrained(folder, safe_serialization=True)
    spec = WAN.networks[name]
    return StoredNetwork(
        where=str(folder),
        spec=spec,
        config=config,
        layout="diffusers",
        stored=read_headers(TensorFiles(folder=epath.Path(folder)), spec),
        constants=constants or {},
    ).load()


def error(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def channels_last(x):
    return np.moveaxis(np.asarray(x), 1, -1)


@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("per_token", [False, True])
def test_transformer(extra, per_token, tmp_path):
    made, grid = 4, (3, 3, 5)
    theirs = reference.transformer(made, extra)
    config = network_json.dit_config(dict(theirs.config), made)
    written = network_json.dit_json(config)
    assert {**theirs.config, **written, "patch_size": 0} == {
        **theirs.config,
        "_class_name": CLASS,
        "patch_size": 0,
    }
    ours = load("dit", theirs, config, tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, made + extra, 3, 6, 10)).astype(np.float32)
    text = rng.normal(size=(1, 7, reference.TEXT_WIDTH)).astype(np.float32)
    weights = rng.normal(size=(1, 3, 6, 10, made)).astype(np.float32)
    clean = np.repeat([per_token, False, False], 15)

    inputs = torch.tensor(x, requires_grad=True)
    time = torch.tensor(np.where(clean, 0, 437))[None] if per_token else [437]
    expected = theirs(inputs, torch.as_tensor(time), torch.tensor(text)).sample
    (expected * torch.tensor(np.moveaxis(weights, -1, 1))).sum().backward()

    def velocity(latents):
        tokens = tokens_of(latents, made, grid, clean)
        ones = jnp.ones((1, 7), jnp.int32)
        ids = jnp.ones((1, len(clean)), jnp.int32)
        context = Context(states=jnp.asarray(text), segments=ones, ids=ids)
        return unpatchify(ours(tokens, {"text": context})[0], grid, (1, 2, 2))

    def weighed(latents):
        return jnp.sum(velocity(latents) * weights[0])

    latents = jnp.asarray(channels_last(x)[0])
    got = jax.jit(velocity)(latents)
    assert error(got, channels_last(expected.detach())[0]) < CLOSE
    gradient = jax.jit(jax.grad(weighed))(latents)
    assert error(gradient, channels_last(inputs.grad)[0]) < GRADIENT


def test_picture_encoder(tmp_path):
    """The states before the last layer, of pictures one by one and in a group."""
    theirs = reference.image_encoder()
    config = picture_json.picture_config(theirs.config.to_dict())
    ours = load("picture_encoder", theirs, config, tmp_path)
    pixels = np.random.default_rng(0).normal(size=(2, 28, 28, 3)).astype(np.float32)
    inputs = torch.tensor(np.moveaxis(pixels, -1, 1))
    with torch.no_grad():
        expected = theirs(inputs, output_hidden_states=True).hidden_states[-2]
    assert error(jax.jit(ours)(pixels), expected) < CLOSE
    states, segments = ours.encode(jnp.asarray(pixels)[None, None])
    assert error(states[0], expected.reshape(10, -1)) < CLOSE
    assert segments.tolist() == [[1] * 10]


@pytest.mark.parametrize("shape", [(40, 60), (300, 90), (28, 28), (9, 50)])
def test_pictures_are_resized_as_by_the_publishers_of_a_layout(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    picture, tower = to_float(pixels), PictureConfig(size=28)
    theirs = reference.image_processor()(Image.fromarray(pixels)).pixel_values[0]
    got = picture_input(picture, tower)
    np.testing.assert_allclose(got, channels_last(theirs[None])[0], atol=1e-4)
    squashed = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(picture, -1, 0))[None],
        size=(28, 28),
        mode="bicubic",
        align_corners=False,
    )
    expected = (channels_last(squashed)[0] / 2 + 0.5 - MEAN) / DEVIATION
    got = picture_input(picture, dataclasses.replace(tower, fit="squash"))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_transformer_drifts_less_in_bfloat16(tmp_path, capsys):
    """As far as the reference drifts from its own float32, and no farther."""
    made, grid = 4, (3, 3, 5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, made, 3, 6, 10)).astype(np.float32)
    text = rng.normal(size=(1, 7, reference.TEXT_WIDTH)).astype(np.float32)
    drifts = []
    for seed in range(4):
        theirs = reference.transformer(made, seed=seed)
        config = network_json.dit_config(dict(theirs.config), made)
        config = dataclasses.replace(config, dtype="bfloat16")
        ours = load("dit", theirs, config, tmp_path / str(seed))

        def run(module, dtype):
            inputs = (torch.tensor(a).to(dtype) for a in (x, text))
            with torch.no_grad():
                out = module(next(inputs), torch.tensor([437]), next(inputs)).sample
            return channels_last(out.float())[0]

        exact = run(theirs, torch.float32)
        there = type(theirs).from_pretrained(
            tmp_path / str(seed), torch_dtype=torch.bfloat16
        )
        tokens = tokens_of(
            jnp.asarray(channels_last(x)[0]), made, grid, np.zeros(45, bool)
        )
        ones, ids = jnp.ones((1, 7), jnp.int32), jnp.ones((1, 45), jnp.int32)
        context = Context(states=jnp.asarray(text), segments=ones, ids=ids)
        here = unpatchify(jax.jit(ours)(tokens, {"text": context})[0], grid, (1, 2, 2))
        drifts.append((error(here, exact), error(run(there, torch.bfloat16), exact)))
    here, there = np.mean(drifts, axis=0)
    with capsys.disabled():
        print(f"bfloat16 drift: {here:.1e}, of diffusers {there:.1e}")
    assert here <= there


def tokens_of(latents, made, grid, clean):
    count = len(clean)
    zeros = jnp.zeros((1, count), jnp.int32)
    return Tokens(
        x=patchify(latents[..., :made], (1, 2, 2))[None],
        extra=patchify(latents[..., made:], (1, 2, 2))[None]
        if latents.shape[-1] > made
        else jnp.zeros((1, count, 0)),
        coords=jnp.asarray(coordinates(grid))[None],
        segments=zeros + 1,
        levels=jnp.float32([[0.0, 0.437]]),
        level_ids=jnp.asarray(~clean, jnp.int32)[None],
        order=zeros,
        target_mask=zeros == 0,
    )


@pytest.fixture(scope="module", params=["VAE_21", "VAE_22"])
def vaes(request, tmp_path_factory):
    data = getattr(reference, request.param)
    theirs = reference.vae(data)
    config = network_json.vae_config(theirs.config)
    statistics = (data["latents_mean"], data["latents_std"])
    written = network_json.vae_json(config, *statistics)
    assert network_json.vae_config(written) == config
    constants = dict(zip(("latent_mean", "latent_std"), statistics, strict=True))
    ours = load("vae", theirs, config, tmp_path_factory.mktemp("vae"), constants)
    return nnx.split(ours), theirs, [np.float32(s) for s in statistics]


@pytest.mark.parametrize("frames", [1, 5, 9, 17])
def test_vae(vaes, frames):
    (graphdef, params), theirs, (mean, std) = vaes
    rng = np.random.default_rng(frames)
    pixels = rng.uniform(-1, 1, size=(1, 3, frames, 32, 48)).astype(np.float32)
    with torch.no_grad():
        raw = theirs.encode(torch.tensor(pixels)).latent_dist.mean
        decoded = theirs.decode(raw).sample
    latents = (channels_last(raw) - mean) / std

    @jax.jit
    def encode(params, pixels, cache):
        return nnx.merge(graphdef, params).encode(pixels, cache)

    @jax.jit
    def decode(params, latents, cache):
        return nnx.merge(graphdef, params).decode(latents, cache)

    whole, _ = encode(params, channels_last(pixels), None)
    assert error(whole, latents) < CLOSE
    made, _ = decode(params, latents, None)
    assert error(made, channels_last(decoded)) < CLOSE
    if frames == 9:  # streamed: 1 + 4 + 4 frames
        pieces, cache = [], None
        for piece in np.split(channels_last(pixels), [1, 5], axis=1):
            part, cache = encode(params, piece, cache)
            pieces.append(part)
        assert error(np.concatenate(pieces, axis=1), latents) < CLOSE
        pieces, cache = [], None
        for i in range(latents.shape[1]):
            part, cache = decode(params, latents[:, i : i + 1], cache)
            pieces.append(part)
        assert error(np.concatenate(pieces, axis=1), channels_last(decoded)) < CLOSE


def test_text_encoder(tmp_path):
    theirs = reference.text_encoder(64)
    config = network_json.text_config(theirs.config.to_dict(), 24)
    ours = load("text_encoder", theirs, config, tmp_path)
    ids = np.random.default_rng(0).integers(2, 64, (2, 24)).astype(np.int32)
    ids[0, 9:] = [1] + [0] * 14
    mask = torch.tensor(ids != 0)
    with torch.no_grad():
        states = theirs(torch.tensor(ids), attention_mask=mask.long())
    expected = states.last_hidden_state * mask[..., None]
    assert error(jax.jit(ours)(jnp.asarray(ids)), expected) < CLOSE
