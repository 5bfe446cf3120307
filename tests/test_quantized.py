"""Kernels in 8 bits: how exact they are, and that files become the same kernels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import AdapterConfig
from sora_jax.models.dit import DiT
from sora_jax.nn.quantized import DTYPES, quantize, quantize_kernel
from sora_jax.weights import adapters, folders
from sora_jax.weights.adapter_sums import Change, apply
from sora_jax.weights.modules import flatten, parameters
from tests.helpers.single_files import model_of, scaled, tensors_of, write
from tests.helpers.tiny import make

# Half a step of 127, and half a bit of three behind the first.
ERRORS = {"int8": 0.5 / 127, "fp8": 2**-4}


@pytest.mark.parametrize("kind", DTYPES)
def test_rounding_is_relative_to_each_output(kind):
    kernel = np.random.default_rng(0).normal(size=(64, 2, 5)).astype(np.float32)
    kernel *= np.logspace(-6, 6, 5, dtype=np.float32)
    kernel[:, 0, 0] = 0
    small, scale = quantize_kernel(kernel, DTYPES[kind])
    back = small.astype(np.float32) * scale
    largest = np.abs(kernel).max(0)
    assert (np.abs(back - kernel) <= 1.001 * ERRORS[kind] * largest).all()
    _, same = quantize_kernel(jnp.asarray(kernel), DTYPES[kind])
    np.testing.assert_allclose(same, scale, rtol=1e-6)


@pytest.mark.parametrize("kind", DTYPES)
def test_files_are_quantised_as_they_are_read(exported, kind):
    for name in ("dit", "text_encoder"):
        loaded = folders.load_weights(exported, quantization=kind).networks[name]
        wanted = quantize(folders.load_network(exported, name), kind)
        ours, theirs = (flatten(parameters(x)) for x in (loaded, wanted))
        assert ours.keys() == theirs.keys()
        assert any(value.dtype == DTYPES[kind] for value in ours.values())
        for path, value in theirs.items():
            assert ours[path].dtype == value.dtype
            np.testing.assert_allclose(
                np.float32(ours[path]), np.float32(value), rtol=1e-6, err_msg=path
            )


def test_float8_of_a_file_stays_as_it_is(tiny, tmp_path):
    toys = model_of(tiny)
    small = scaled(tensors_of(toys, "dit"))
    file = write(tmp_path / "toy.safetensors", small)
    for name in ("vae", "text_encoder"):
        write(tmp_path / f"{name}.safetensors", tensors_of(toys, name))
    (tmp_path / "spiece.model").write_bytes(tiny.tokenizer.model)
    up = folders.load_weights(file, quantization="fp8").networks["dit"].blocks.up
    for layer in range(2):
        name = f"blocks.{layer}.ffn.0"
        np.testing.assert_array_equal(up.kernel[...][layer].T, small[f"{name}.weight"])
        assert (up.kernel_scale[...][layer] == small[f"{name}.scale_weight"]).all()


def test_an_adapter_lies_beside_a_quantised_kernel(dit_config):
    model = make(DiT, dit_config)
    config = AdapterConfig(targets=("blocks/up",), rank=2, alpha=2.0)
    changed = adapters.attach(model, config, nnx.Rngs(1))
    factors = adapters.extract(changed, config).factors
    factors = {
        path: dataclasses.replace(x, up=jnp.ones_like(x.up))
        for path, x in factors.items()
    }
    x = jax.random.normal(jax.random.key(0), (1, 3, dit_config.width))

    def mapped(model):
        return nnx.vmap(lambda up, x: up(x), in_axes=(0, None))(model.blocks.up, x)

    plain, small = model, quantize(model, "int8")
    added = [
        mapped(apply(one, Change(factors=factors), merged=False)) - mapped(one)
        for one in (plain, small)
    ]
    assert np.abs(added[0]).max() > 0.1
    np.testing.assert_allclose(added[0], added[1], atol=1e-5)
    whole = {"blocks/up/kernel": np.zeros(model.blocks.up.kernel.shape, np.float32)}
    with pytest.raises(ValueError, match="quantization"):
        apply(small, Change(factors={}, whole=whole), merged=False)
