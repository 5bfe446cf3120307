"""Read a LoRA file: factors beside fused kernels, and changes of whole parameters.

Published maps have factors of their own, where a fused kernel of sora_jax is several
maps: its factors then have the sum of their ranks, unless the maps share the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from sora_jax.families.table import Entry
from sora_jax.nn.layers import Linear
from sora_jax.weights.adapter_sums import Change
from sora_jax.weights.adapters import Factors, factor_shapes, linears
from sora_jax.weights.lora_files import LoraFile
from sora_jax.weights.lora_target import Part
from sora_jax.weights.mapped import Mapped, map_file
from sora_jax.weights.tensor_checks import is_finite, refuse_infinite

KERNEL = "/kernel"


class Pair(NamedTuple):
    """The factors of one published map."""

    entry: Entry
    down: np.ndarray  # rank x what the published tensor reads
    up: np.ndarray  # out x rank, scaled


def read_lora(file: LoraFile, model: nnx.Module) -> Change:
    """Read what a file changes in a network.

    Raises:
      ValueError: some tensors hold NaN or infinity.
    """
    pairs: dict[str, list[Pair]] = defaultdict(list)
    whole: dict[str, np.ndarray] = {}
    with map_file(file.path) as mapped:
        for module, parts in file.modules.items():
            values = _values(file, mapped, parts)
            if "down" in values:
                pair = _pair(file, module, values)
                pairs[pair.entry.path.removesuffix(KERNEL)].append(pair)
            for part in values.keys() - {"down", "up", "alpha"}:
                entry = file.entry(module, part)
                shape = file.target.shapes[entry.path]
                held = whole.setdefault(entry.path, np.zeros(shape, np.float32))
                delta = values[part].reshape(file.target.shape(entry))
                held[entry.index] += entry.transform.forward(delta)
    maps = linears(model)
    factors = {path: fuse(maps[path], group) for path, group in pairs.items()}
    return Change(factors=factors, whole=whole)


def _values(
    file: LoraFile, mapped: Mapped, parts: Mapping[str, Part]
) -> dict[str, np.ndarray]:
    """Read the parts of a module; a bias of the second factor counts as this does."""
    values = {
        part: np.array(mapped.tensor(tensor), np.float32)
        for part, (_, tensor) in parts.items()
    }
    infinite = [parts[p].name for p, x in values.items() if not is_finite(x)]
    refuse_infinite(str(file.path), infinite)
    return values


def _pair(file: LoraFile, module: str, values: dict[str, np.ndarray]) -> Pair:
    """Return the factors of a module; the scale goes to the second, and to its bias."""
    entry = file.entry(module, "down")
    down, up = values["down"], values["up"]
    rank = len(down)
    scale = file.told_scale(module, rank)
    if "alpha" in values:
        scale = values["alpha"].item() / rank
    if "up_bias" in values:
        values["up_bias"] = scale * values["up_bias"]
    shape = file.target.shape(entry)[1:]
    return Pair(entry, down.reshape(rank, *shape), scale * up.reshape(-1, rank))


def fuse(linear: Linear, pairs: Sequence[Pair]) -> Factors:
    """Put the maps of one kernel together."""
    layers = linear.kernel.ndim - len(linear.axes)
    groups: dict[tuple, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.entry.index[:layers]].append(_in_the_model(pair))
    first = {layer: _first_factors(group) for layer, group in groups.items()}
    rank = max(map(len, first.values()))
    shapes = factor_shapes(linear, rank)
    down, up = (np.zeros(shape, np.float32) for shape in shapes)
    for layer, group in groups.items():
        shared = len(first[layer]) == len(group[0].down)
        down[layer][:, : len(first[layer])] = first[layer].T
        start = 0
        for pair in group:
            rows = slice(start, start + len(pair.down))
            up[pair.entry.index][rows] = pair.up
            start += 0 if shared else len(pair.down)
    return Factors(down=jnp.asarray(down), up=jnp.asarray(up))


def _in_the_model(pair: Pair) -> Pair:
    """Bring factors to the model's axes: rank x features, and rank x out.

    A map's transform reorders what it gives, a convolution's what it reads.
    """
    forward = pair.entry.transform.forward
    if pair.down.ndim > 2:
        return pair._replace(down=forward(pair.down).T, up=pair.up.T)
    return pair._replace(up=forward(pair.up))


def _first_factors(group: Sequence[Pair]) -> np.ndarray:
    """Return the first factors one below another, or the one that all maps share."""
    first = group[0].down
    if all(np.array_equal(pair.down, first) for pair in group):
        return first
    return np.concatenate([pair.down for pair in group])
