"""Networks as files of their own, in the forms that other programs write."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from sora_jax.families import WAN
from sora_jax.families.wan import models
from sora_jax.models.dit import DiT
from sora_jax.weights import transfer
from sora_jax.weights.model_weights import weights_in_memory
from sora_jax.weights.modules import flatten, parameters
from tests.helpers import tiny_wan
from tests.helpers.tiny import make

WIDTH = 128  # one head, as wide as all of Wan's


def model_of(tiny):
    """A small model whose heads are as wide as Wan's."""
    dit = dataclasses.replace(tiny.config.dit, width=WIDTH, heads=1)
    config = dataclasses.replace(tiny.config, dit=dit, boundary=None)
    networks = {name: tiny.networks[name] for name in ("vae", "text_encoder")}
    networks["dit"] = make(DiT, dit, seed=2)
    return weights_in_memory(config, tiny.tokenizer, family=WAN, **networks)


def models_of_pictures(tiny):
    """The same with CLIP's states of a first and a last frame, as FLF2V-14B."""
    toy = model_of(tiny)
    return tiny_wan.animates(toy, models.WAN21_FLF2V_14B)


def tensors_of(weights, network, layout="original", prefix=""):
    """The tensors of a network, as a file has them."""
    table = WAN.networks[network].table(weights.networks[network].config, layout)
    tensors = transfer.export_tensors(
        table, flatten(parameters(weights.networks[network]))
    )
    return {prefix + name: np.array(tensor) for name, tensor in tensors}


def scaled(tensors, rows=False, suffix="scale_weight"):
    """Linear maps in float8 with scales, as ComfyUI writes them."""
    made = {"scaled_fp8": np.zeros(2, jnp.float8_e4m3fn)}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or not name.endswith(".weight"):
            made[name] = tensor
            continue
        axes = (1,) if rows else None
        scale = np.float32(np.abs(tensor).max(axes, keepdims=rows) / 448)
        layer = name.removesuffix(".weight")
        made[name] = (tensor / scale).astype(jnp.float8_e4m3fn)
        made[f"{layer}.{suffix}"] = np.asarray(scale)
        made[f"{layer}.scale_input"] = np.ones((), np.float32)
    return made


def write(path, tensors):
    """Write a file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, path)
    return path
