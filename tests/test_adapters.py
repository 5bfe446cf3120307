"""Adapters: factors beside kernels, in memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.config import AdapterConfig
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.nn.layers import Linear, LoRAParam
from sora_jax.weights import adapters
from sora_jax.weights.modules import flatten, parameters
from tests.helpers.tiny import make

CONFIG = AdapterConfig(rank=3, alpha=6.0)
# Stacked layers, a fused projection, a dict of contexts, and a map that is not stacked.
TARGETS = ("blocks/self_attention/.*", "blocks/.*/kv/text", "blocks/(up|down)", "embed")


@pytest.fixture(scope="module")
def dit(dit_config):
    return make(DiT, dit_config)


@pytest.fixture(scope="module")
def encoder(text_config):
    return make(TextEncoder, text_config)


def trained(model, config, seed=0):
    """The model with factors none of which is zero."""
    model = adapters.attach(model, config, nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    for linear in adapters.linears(model).values():
        if linear.lora_up is not None:
            values = rng.normal(size=linear.lora_up.shape) * 0.1
            linear.lora_up.set_value(jnp.asarray(values, jnp.float32))
    return model


def encode(model):
    ids = np.random.default_rng(0).integers(2, 300, (2, 16)).astype(np.int32)
    return np.asarray(jax.jit(lambda model: model(jnp.asarray(ids)))(model))


def test_new_factors_change_no_bit(encoder):
    config = dataclasses.replace(CONFIG, targets=("layers/.*",))
    with_factors = adapters.attach(encoder, config, nnx.Rngs(0))
    np.testing.assert_array_equal(encode(with_factors), encode(encoder))
    assert not np.array_equal(encode(trained(encoder, config)), encode(encoder))


def test_merged_is_unmerged(encoder):
    config = dataclasses.replace(CONFIG, targets=("layers/.*",))
    model = trained(encoder, config)
    expected, kernel = encode(model), encoder.layers.up.kernel[...]
    merged = adapters.merge(model)
    assert encoder.layers.up.kernel[...] is model.layers.up.kernel[...] is kernel
    np.testing.assert_allclose(encode(merged), expected, atol=1e-5)
    assert nnx.split(merged)[0] == nnx.split(encoder)[0]
    again = adapters.unmerge(merged, adapters.extract(model, config))
    before, after = flatten(parameters(model)), flatten(parameters(again))
    assert before.keys() == after.keys()
    for path, value in before.items():
        np.testing.assert_allclose(after[path], value, atol=1e-6, err_msg=path)


def test_factors_lie_beside_the_kernels_that_targets_match(dit):
    config = dataclasses.replace(CONFIG, targets=TARGETS)
    model = adapters.attach(dit, config, nnx.Rngs(0))
    before, after = flatten(parameters(dit)), flatten(parameters(model))
    d, f, depth = dit.config.width, dit.config.mlp, dit.config.depth
    features = dit.config.patch_features + dit.config.extra_features
    expected = {
        "blocks/self_attention/qkv": ((depth, d, 3), (depth, 3, 3, d)),
        "blocks/self_attention/out": ((depth, d, 3), (depth, 3, d)),
        "blocks/cross_attention/kv/text": ((depth, d, 3), (depth, 3, 2, d)),
        "blocks/up": ((depth, d, 3), (depth, 3, f)),
        "blocks/down": ((depth, f, 3), (depth, 3, d)),
        "embed": ((features, 3), (3, d)),
    }
    added = {path: x.shape for path, x in after.items() if path not in before}
    assert added == {
        f"{path}/{name}": shape
        for path, both in expected.items()
        for name, shape in zip(("lora_down", "lora_up"), both, strict=True)
    }
    for path, value in before.items():
        assert after[path] is value, path


def test_a_model_without_an_adapter_is_what_it_was(dit):
    graphdef, state = nnx.split(dit)
    assert "lora" not in str(graphdef) and "lora" not in str(state)
    config = dataclasses.replace(CONFIG, targets=TARGETS)
    model = adapters.attach(dit, config, nnx.Rngs(0))
    assert all(x.lora_down is None for x in adapters.linears(dit).values())
    graphdef_again, state_again = nnx.split(adapters.detach(model))
    assert graphdef_again == graphdef
    assert jax.tree.structure(state_again) == jax.tree.structure(state)
    with pytest.raises(ValueError, match="has no adapter"):
        adapters.extract(dit, config)


def test_a_filter_by_type_chooses_the_factors_and_gradients_reach_them_alone(encoder):
    config = dataclasses.replace(CONFIG, targets=("layers/attention/.*",))
    model = trained(encoder, config)
    graphdef, factors, frozen = nnx.split(model, LoRAParam, ...)
    paths = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(factors)}
    assert paths == {
        f"layers/attention/{name}/{factor}"
        for name in ("query", "kv", "out")
        for factor in ("lora_down", "lora_up")
    }
    ids = jnp.asarray(np.random.default_rng(1).integers(2, 300, (1, 8)), jnp.int32)

    @jax.jit
    def gradient(factors, frozen):
        def loss(factors):
            return jnp.sum(jnp.square(nnx.merge(graphdef, factors, frozen)(ids)[0, 0]))

        return jax.grad(loss)(factors)

    grads = nnx.to_flat_state(gradient(factors, frozen))
    assert {"/".join(map(str, path)) for path, _ in grads} == paths
    for path, grad in grads:
        assert np.abs(grad[...]).max() > 0, path


def test_factors_are_planned_without_memory(dit_config):
    config = dataclasses.replace(CONFIG, targets=TARGETS)
    module = nnx.eval_shape(
        lambda: adapters.attach(DiT(dit_config, rngs=nnx.Rngs(0)), config, nnx.Rngs(1))
    )
    factors = jax.tree.leaves(nnx.state(module, LoRAParam))
    assert len(factors) == 2 * 6
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in factors)


def test_what_does_not_fit_is_refused_by_name(dit, encoder):
    with pytest.raises(ValueError, match=r"'nothing/\.\*' matches none; there are "):
        targets = (*TARGETS, "nothing/.*")
        adapters.attach(dit, dataclasses.replace(CONFIG, targets=targets), nnx.Rngs(0))
    config = dataclasses.replace(CONFIG, targets=TARGETS)
    model = adapters.attach(dit, config, nnx.Rngs(0))
    with pytest.raises(ValueError, match="already, beside .*embed.*merge or detach"):
        adapters.attach(model, config, nnx.Rngs(0))
    adapter = adapters.extract(model, config)
    with pytest.raises(ValueError, match="has no linear map 'blocks/.*trained on"):
        adapters.insert(encoder, adapter)
    other = make(DiT, dataclasses.replace(dit.config, mlp=8))
    with pytest.raises(ValueError, match=r"factors of blocks/(up|down) must have"):
        adapters.insert(other, adapter)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rank": 0}, "adapter.rank"),
        ({"alpha": 0.0}, "adapter.alpha"),
        ({"alpha": float("inf")}, "adapter.alpha"),
        ({"targets": ()}, "adapter.targets"),
        ({"targets": ("blocks/(",)}, r"adapter.targets .* 'blocks/\('"),
    ],
)
def test_configs_are_checked(fields, told):
    with pytest.raises(ValueError, match=told):
        AdapterConfig(**fields)


def test_factors_are_computed_in_the_type_of_their_map():
    linear = Linear(4, 6, axes=(None, None), rngs=nnx.Rngs(0), dtype=jnp.bfloat16)

    class Model(nnx.Module):
        def __init__(self):
            self.map = linear

    config = AdapterConfig(targets=("map",), rank=2)
    model = trained(Model(), config)
    assert model.map.lora_up[...].dtype == jnp.float32
    assert model.map(jnp.ones((3, 4))).dtype == jnp.bfloat16
    assert adapters.merge(model).map.kernel[...].dtype == jnp.float32
