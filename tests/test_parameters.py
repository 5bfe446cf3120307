"""What parameters say of themselves: how they move, and in which type they stay."""

import dataclasses

import pytest
from flax import nnx

from sora_jax.families import OURS
from sora_jax.models.critic import Critic
from sora_jax.nn.parameters import metadata
from sora_jax.weights import bundle
from sora_jax.weights.modules import flatten

# Beside these, every matrix belongs to a hidden layer.
OUTER = {
    "vae": {
        *(
            f"{side}/{name}/filters"
            for side in ("encoder", "decoder")
            for name in ("conv_in", "head/conv")
        ),
        *("encoder/moments/filters", "decoder/latents/filters"),
    },
    "dit": {
        *(f"{name}/kernel" for name in ("embed", "place", "time_table", "head")),
        *("time/up/kernel", "time/down/kernel"),
    },
    "text_encoder": {"embedding"},
    "critic": {"conv_in/filters"},
}
# What is computed in float32 where the rest is computed in bfloat16.
EXACT = {"place", "time", "time_table", "modulation", "head_modulation", "scale"}


def build(name):
    if name == "critic":
        return nnx.eval_shape(lambda: Critic(8, rngs=nnx.Rngs(0)))
    config = bundle.describe(bundle.ASSETS)
    networks = {
        field: dataclasses.replace(getattr(config, field), dtype="bfloat16")
        for field in ("vae", "dit", "text")
    }
    config = dataclasses.replace(config, **networks)
    return nnx.eval_shape(lambda: OURS.networks[name].build(config)(nnx.Rngs(0)))


@pytest.mark.parametrize("name", OUTER)
def test_optimizer_groups(name):
    groups = flatten(metadata(build(name), "optimizer_group"))
    for path, group in groups.items():
        kind = path.rpartition("/")[2]
        if path in OUTER[name]:
            assert group == "outer", path
        else:
            hidden = {"kernel": "hidden", "filters": "hidden_filters"}
            assert group == hidden.get(kind), path
    assert OUTER[name] <= groups.keys()


@pytest.mark.parametrize("name", OURS.networks)
def test_what_stays_in_float32(name):
    kept = flatten(metadata(build(name), "keep_float32", False))
    for path, exact in kept.items():
        is_norm = "norm" in path and path.endswith(("scale", "bias"))
        computed = name == "dit" and EXACT.intersection(path.split("/"))
        assert exact == bool(is_norm or computed), path
