"""Apply adapters to a model's weights, as its networks load.

Their factors are read with the network that they are for, and are merged into its
kernels, or lie beside them.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flax import nnx

from sora_jax.config import SeenConfig
from sora_jax.files import PathLike
from sora_jax.weights import adapter_sums, peft_files, safetensors_io
from sora_jax.weights.adapter_paths import Lora, is_peft_folder
from sora_jax.weights.model_weights import LazyNetworks, Weights
from sora_jax.weights.opened_adapters import Opened, open_all


def with_adapters(
    weights: Weights, loras: Sequence[Lora], *, merged: bool = True
) -> Weights:
    """Return weights with adapters, in place of any that they have.

    The model then knows words that its training clips did not have, so its vocabulary
    counts as unknown.

    Args:
      weights: of the model.
      loras: the adapters.
      merged: add factors to kernels that are read for it; otherwise, and where kernels
        are in 8 bits, they lie beside the kernels, which are shared with the given
        weights.

    Raises:
      ValueError: tells of every file that is no adapter, or was trained on another
        model, or on a network that the model does not have.
    """
    plain = weights.plain or weights
    merged = merged and plain.config.quantization == "none"
    if not loras:
        return plain
    of_network: dict[str, list[Opened]] = defaultdict(list)
    for opened in open_all(loras, plain):
        of_network[opened.network].append(opened)
    loaders = plain.networks.shared()
    for network, group in of_network.items():
        load = plain.networks.loaders[network] if merged else loaders[network]
        loaders[network] = partial(_load, load, group, merged)
    asked = (f"+{_hash(x.path)}@{x.transformer}{x.scale:g}" for x in loras)
    return dataclasses.replace(
        plain,
        config=dataclasses.replace(plain.config, seen=SeenConfig()),
        networks=LazyNetworks(loaders, keep=plain.networks.keep),
        digest="".join([plain.digest, *asked]),
        plain=plain,
    )


def _hash(path: PathLike) -> str:
    parts = peft_files.files_of(path) if is_peft_folder(path) else (path,)
    return "-".join(safetensors_io.file_hash(part)[:8] for part in parts)


def _load(load: Callable[[], Any], group: Sequence[Opened], merged: bool) -> nnx.Module:
    model = load()
    changes = [(opened.read(model), opened.lora.scale) for opened in group]
    return adapter_sums.apply(model, adapter_sums.total(changes), merged=merged)
