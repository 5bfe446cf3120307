"""Write a Wan model of full size with random weights, in diffusers' layout.

`python benchmarks/wan_weights.py --out DIR` makes what `benchmarks/wan.py` reads: files
as large as the published ones, which only a download has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from etils import epath

from sora_jax.config import DiTConfig, VAEConfig
from sora_jax.families import WAN
from sora_jax.families.wan import models, network_json
from sora_jax.families.wan.export_diffusers import NETWORKS
from sora_jax.weights import export
from sora_jax.weights.modules import abstract_of, flatten
from sora_jax.workdir import write_json


class Drawn(Mapping):
    """Parameters by path, drawn when they are asked for: one at a time is in memory."""

    def __init__(self, shapes: Mapping[str, jax.ShapeDtypeStruct]):
        self.shapes = shapes

    def __getitem__(self, path: str) -> np.ndarray:
        shape = self.shapes[path].shape
        rng = np.random.default_rng(len(path) + math.prod(shape))
        values = rng.standard_normal(shape, np.float32)
        if "scale" in path:
            values = 1 + 0.1 * values
        elif "kernel" in path or "filters" in path:
            fan_in = shape[-2] if "kernel" in path else math.prod(shape[:-1])
            values *= fan_in**-0.5
        else:
            values *= 0.1
        return values.astype(self.shapes[path].dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def main(
    out: str,
    model: str = "wan21_1b3",
    networks: tuple[Literal["dit", "vae", "text_encoder"], ...] = ("dit", "vae"),
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
) -> None:
    """Write the networks asked for; one that is there already stays."""
    described = models.MODELS[model]
    mean, std = models.LATENTS_22 if described.vae.shortcuts else models.LATENTS_21
    for name in networks:
        spec = WAN.networks[name]
        config = spec.sizes(described)
        folder, begins = NETWORKS[name]
        where = epath.Path(out) / folder
        if (where / "config.json").exists():
            continue
        assert spec.table is not None, name
        _, shapes = abstract_of(spec.build(described))
        kinds = {
            path: jax.ShapeDtypeStruct(shape.shape, jnp.dtype(dtype))
            for path, shape in flatten(shapes).items()
        }
        table = spec.table(config, "diffusers")
        export.write_tensors(where, begins, table, kinds, Drawn(kinds))
        if isinstance(config, VAEConfig):
            data = network_json.vae_json(config, mean, std)
        elif isinstance(config, DiTConfig):
            data = network_json.dit_json(config)
        else:
            data = network_json.text_json(config)
        write_json(where / "config.json", data)
        print(where)


if __name__ == "__main__":
    tyro.cli(main)
