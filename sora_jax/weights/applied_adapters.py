"""Apply adapter files to a model's weights: merged into its kernels as it loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from flax import nnx

from sora_jax import files
from sora_jax.config import SeenConfig
from sora_jax.families import Family
from sora_jax.families.table import Entry
from sora_jax.files import PathLike
from sora_jax.weights import adapter_files, adapters, peft_files, safetensors_io
from sora_jax.weights.adapter_files import Base, base_of
from sora_jax.weights.adapter_paths import Lora, is_peft_folder
from sora_jax.weights.model_weights import LazyNetworks, Weights


def with_adapters(weights: Weights, loras: Sequence[Lora]) -> Weights:
    """Return weights whose networks load with adapters merged into them.

    The model then knows words that its training clips did not have, so its vocabulary
    counts as unknown.

    Raises:
      ValueError: a file is no adapter, or was trained on another model, or on a network
        that the model does not have.
    """
    loaders = dict(weights.networks.loaders)
    digest = weights.digest
    for lora in loras:
        base = _base(lora.path, weights)
        if base.network not in loaders:
            raise ValueError(
                f"adapter {str(lora.path)!r} has factors of the network "
                f"{files.quoted(base.network)}, and {weights.config.name!r} has "
                f"{', '.join(loaders)}: use it with the weights that it was trained on"
            )
        own = base_of(weights, base.network)
        if base.digest and base != own:
            raise ValueError(
                f"adapter {str(lora.path)!r} belongs to {base}, not to {own}: use it "
                "with the weights that it was trained on"
            )
        table = published_table(weights.family, weights.config, base.network)
        loaders[base.network] = _merged(loaders[base.network], lora, table)
        digest += f"+{_hash(lora.path)}@{lora.scale:g}"
    return dataclasses.replace(
        weights,
        config=dataclasses.replace(weights.config, seen=SeenConfig()),
        networks=LazyNetworks(loaders, keep=weights.networks.keep),
        digest=digest,
    )


def _base(path: PathLike, weights: Weights) -> Base:
    """Return what an adapter was trained on; PEFT's files do not say which weights."""
    if is_peft_folder(path):
        return Base(
            name=weights.config.name, digest="", network=weights.family.transformer
        )
    base = adapter_files.read_description(path)[1]
    if not base.digest:
        raise ValueError(
            f"adapter {str(path)!r} does not say which weights it belongs to: "
            f"{adapter_files.COPY}"
        )
    return base


def _hash(path: PathLike) -> str:
    parts = peft_files.files_of(path) if is_peft_folder(path) else (path,)
    return "-".join(safetensors_io.file_hash(part)[:8] for part in parts)


def published_table(family: Family, config: Any, network: str) -> list[Entry]:
    """Return the table of a network's published tensors; empty if there is none."""
    spec = family.networks[network]
    if spec.table is None:
        return []
    return spec.table(spec.sizes(config), family.layouts[0].name)


def _merged(
    load: Callable[[], Any], lora: Lora, table: Sequence[Entry]
) -> Callable[[], nnx.Module]:
    def load_merged() -> nnx.Module:
        model = load()
        if is_peft_folder(lora.path):
            adapter = peft_files.load_adapter(lora.path, model, table)
        else:
            adapter = adapter_files.load_adapter(lora.path, model, base=None)
        alpha = adapter.config.alpha * lora.scale
        config = dataclasses.replace(adapter.config, alpha=alpha)
        scaled = dataclasses.replace(adapter, config=config)
        return adapters.merge(adapters.insert(model, scaled))

    return load_merged
