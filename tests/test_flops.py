"""How many FLOPs a step has, and how many the device could do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sora_jax.config import DiTRun
from sora_jax.data.packing import Sample, pack_row
from sora_jax.data.patches import coordinates
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.training.dit import model_flops
from sora_jax.training.flops import count_flops, peak_flops


def test_flops_are_counted_through_loops():
    def run(x, w):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, length=5)[0]

    x, w = jnp.ones((8, 4)), jnp.ones((4, 4))
    assert count_flops(run, x, w) == 5 * 2 * 8 * 4 * 4


def test_the_gradient_of_a_strided_convolution_costs_twice_the_convolution():
    def run(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, w = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    forward = count_flops(run, x, w)
    assert forward == 2 * 16 * 4 * 9 * 4

    def loss(x, w):
        return run(x, w).sum()

    assert count_flops(jax.grad(loss, (0, 1)), x, w) == pytest.approx(3 * forward)


def test_what_remat_computes_again_is_no_model_flop(dit_config, text_config):
    config = DiTRun(dit=dit_config, text=text_config)
    sample = Sample(
        x=np.zeros((8, dit_config.patch_features), np.float32),
        extra=np.zeros((8, dit_config.extra_features), np.float32),
        coords=coordinates((2, 2, 2)),
        clean=np.zeros(8, bool),
        captions=np.ones((1, text_config.pad_to), np.int32),
        caption_ids=np.zeros(8, np.int32),
    )
    row = pack_row([sample], 8, 1, text_config.pad_to)
    remat = dataclasses.replace(dit_config, remat="full")
    again = dataclasses.replace(config, dit=remat)
    assert model_flops(config, row) == model_flops(again, row) > 0


def test_the_peak_of_a_device_is_positive():
    assert peak_flops(SINGLE_DEVICE) > 1e9
