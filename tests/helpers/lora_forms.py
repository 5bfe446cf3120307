"""One adapter as each program in the wild would write it."""

import json
import re

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from sora_jax.families.wan.dit_table import dit_table
from sora_jax.weights import adapters

ALPHA = 6.0
# How each program names and scales: prefix, layout, separator, ends of the factors, and
# whether alpha is folded into the second, lies beside, or stands in another file.
FORMS = {
    "diffusers": ("transformer.", "diffusers", ".", "lora_A", "lora_B", "folded"),
    "peft": ("base_model.model.", "diffusers", ".", "lora_A", "lora_B", "config"),
    "comfyui": ("diffusion_model.", "original", ".", "lora_A", "lora_B", "beside"),
    "lightx2v": ("diffusion_model.", "original", ".", "lora_down", "lora_up", "beside"),
    "musubi": ("lora_unet_", "original", "_", "lora_down", "lora_up", "beside"),
    "diffsynth": ("", "original", ".", "lora_A.default", "lora_B.default", "folded"),
}


def modules(config, pattern=r"blocks\..*(attn[12]\.to_.*|ffn.*)"):
    """The linear maps of a transformer in both layouts, {diffusers': original}."""
    tables = dit_table(config, "diffusers"), dit_table(config, "original")
    return {
        one.name.removesuffix(".weight"): other.name.removesuffix(".weight")
        for one, other in zip(*tables, strict=True)
        if re.fullmatch(rf"(?:{pattern})\.weight", one.name)
    }


def drawn(shapes, ranks=(2, 3), seed=0):
    """Random factors by module, of ranks that differ; `shapes` are of weights."""
    rng = np.random.default_rng(seed)
    pairs = {}
    for number, (name, (out, features)) in enumerate(shapes.items()):
        rank = ranks[number % len(ranks)]
        a, b = rng.normal(size=(rank, features)), rng.normal(size=(out, rank))
        pairs[name] = (np.float32(0.3 * a), np.float32(0.3 * b))
    return pairs


def tensors_of(form, pairs, originals):
    """The tensors of a file in one form; alpha is the same for each map."""
    prefix, layout, dot, first, second, scaling = FORMS[form]
    tensors = {}
    for name, (a, b) in pairs.items():
        module = name if layout == "diffusers" else originals[name]
        key = f"{prefix}{module.replace('.', dot)}"
        rank = len(a)
        tensors[f"{key}.{first}.weight"] = a
        folded = np.float32(ALPHA / rank) if scaling == "folded" else np.float32(1)
        tensors[f"{key}.{second}.weight"] = folded * b
        if scaling == "beside":
            tensors[f"{key}.alpha"] = np.array(ALPHA, np.float32)
    return tensors


def write(form, pairs, originals, folder):
    """Write a form; return the path for `--lora`."""
    tensors = tensors_of(form, pairs, originals)
    if FORMS[form][-1] != "config":
        path = folder / f"{form}.safetensors"
        safetensors.numpy.save_file(tensors, path)
        return path
    path = folder / form
    path.mkdir()
    safetensors.numpy.save_file(tensors, path / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": ALPHA}
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path


def random_adapter(model, config, size=1.0):
    """Factors none of which is zero."""
    found = adapters.target_linears(model, config)
    rng = np.random.default_rng(0)
    factors = {
        path: adapters.Factors(
            **{
                name: jnp.asarray(size * rng.normal(size=shape), jnp.float32)
                for name, shape in zip(
                    ("down", "up"),
                    adapters.factor_shapes(linear, config.rank),
                    strict=True,
                )
            },
        )
        for path, linear in found.items()
    }
    return adapters.Adapter(config=config, factors=factors)
