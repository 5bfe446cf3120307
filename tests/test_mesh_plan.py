"""The mesh plan says what a mesh means, once, and reaches every layer."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from sora_jax import sharding
from sora_jax.config import RULES
from sora_jax.models.dit import DiT
from sora_jax.models.text_encoder import TextEncoder
from sora_jax.models.vae import VAE
from sora_jax.nn import conv
from sora_jax.nn.layers import Linear
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Context, Tokens
from tests.helpers.tiny import make


@pytest.fixture(scope="module")
def mesh_plan():
    return MeshPlan(sharding.make_mesh({"data": -1}), RULES)


def test_a_plan_is_equal_to_its_like_and_may_be_static(mesh_plan):
    again = MeshPlan(sharding.make_mesh({"data": -1}), RULES)
    assert mesh_plan == again and hash(mesh_plan) == hash(again)
    assert mesh_plan != SINGLE_DEVICE
    traces = []

    def constrain(x, plan):
        traces.append(plan)
        return plan.constrain(x, "batch")

    compiled = jax.jit(constrain, static_argnums=1)
    for plan in (mesh_plan, again):
        compiled(jnp.zeros(4), plan)
    assert len(traces) == 1


def test_logical_axes_become_those_of_the_mesh(mesh_plan):
    assert mesh_plan.spec(("batch", "tokens", None)) == P(
        ("data", "fsdp"), ("ring", "ulysses"), None
    )
    assert mesh_plan.size("batch") == jax.device_count()
    assert mesh_plan.round_up(7, "tokens") == 7
    assert mesh_plan.ring_axis is None and mesh_plan.ulysses_axis is None
    assert mesh_plan.platform == "cpu"


def test_a_single_device_shares_nothing():
    x = jnp.zeros((2, 3))
    assert SINGLE_DEVICE.constrain(x, "batch", None) is x
    assert SINGLE_DEVICE.gather(x, ("embed", None)) is x
    assert SINGLE_DEVICE.sharding(("batch",)) is None
    assert SINGLE_DEVICE.size("tokens") == SINGLE_DEVICE.devices == 1
    assert SINGLE_DEVICE.for_frames(4, 4) is SINGLE_DEVICE


def test_rules_that_fit_no_mesh_are_named(mesh_plan):
    with pytest.raises(ValueError, match="rules: heads must lie along .*'rows'"):
        MeshPlan(mesh_plan.mesh, (("heads", "rows"),))
    with pytest.raises(ValueError, match="tokens must lie along ring and ulysses"):
        MeshPlan(mesh_plan.mesh, (("tokens", "data"),))


def count_linears(module):
    return sum(isinstance(m, Linear) for _, m in nnx.iter_modules(module))


def dit_call(config, mesh_plan):
    ids = jnp.ones((1, 4), jnp.int32)
    tokens = Tokens(
        x=jnp.zeros((1, 4, config.patch_features)),
        extra=jnp.zeros((1, 4, config.extra_features)),
        coords=jnp.zeros((1, 4, 3)),
        segments=ids,
        levels=jnp.zeros((1, 2)),
        level_ids=ids,
        target_mask=ids > 0,
    )
    features = dict(config.contexts)["text"]
    text = Context(states=jnp.zeros((1, 4, features)), segments=ids, ids=ids)
    return lambda dit: dit(tokens, {"text": text}, mesh_plan=mesh_plan)


@pytest.mark.parametrize("name", ["dit", "text_encoder", "vae"])
def test_the_plan_reaches_every_layer(
    name, mesh_plan, monkeypatch, dit_config, text_config, vae_config
):
    """A layer that was not given the plan would compute as on a single device."""
    gathered, convolved = [], []
    gather, fastest = MeshPlan.gather, conv.fastest
    monkeypatch.setattr(
        MeshPlan,
        "gather",
        lambda plan, x, axes: gathered.append(plan) or gather(plan, x, axes),
    )
    monkeypatch.setattr(
        conv, "fastest", lambda plan: convolved.append(plan) or fastest(plan)
    )
    module, config, run = {
        "dit": (DiT, dit_config, dit_call(dit_config, mesh_plan)),
        "text_encoder": (
            TextEncoder,
            text_config,
            lambda m: m.encode(jnp.ones((1, 2, 4), jnp.int32), mesh_plan),
        ),
        "vae": (
            VAE,
            vae_config,
            lambda m: m.decode(
                m.encode(jnp.zeros((1, 5, 16, 16, 3)), mesh_plan=mesh_plan)[0],
                mesh_plan=mesh_plan,
            ),
        ),
    }[name]
    network = make(module, config)
    jax.eval_shape(lambda: run(network))
    assert len(gathered) == count_linears(network)
    assert bool(convolved) == (name == "vae")
    assert {*gathered, *convolved} == {mesh_plan}
