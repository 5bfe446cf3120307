"""Open adapter files for a model: check them by their headers, before any tensor.

A file of sora_jax names its base and network. Others are for the transformer, of models
that have two for the one that the command names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from flax import nnx

from sora_jax import files
from sora_jax.weights import adapter_files, adapter_sums, lora_files, peft_files
from sora_jax.weights.adapter_files import base_of
from sora_jax.weights.adapter_paths import Lora, is_peft_folder
from sora_jax.weights.adapter_sums import Change
from sora_jax.weights.headers import read_metadata
from sora_jax.weights.lora_reading import read_lora
from sora_jax.weights.lora_target import Target, target_of
from sora_jax.weights.model_weights import Weights
from sora_jax.weights.safetensors_io import require_safetensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
    """An adapter whose file was checked: its network, and how to read it."""

    lora: Lora
    network: str
    read: Callable[[nnx.Module], Change]


def open_all(loras: Sequence[Lora], weights: Weights) -> list[Opened]:
    """Check adapters for a model.

    Raises:
      ValueError: tells of every file that is no adapter, or does not fit.
    """
    opened, problems = [], []
    for lora in loras:
        try:
            opened.append(_open(lora, weights))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return opened


def _open(lora: Lora, weights: Weights) -> Opened:
    """Check an adapter by its headers.

    Raises:
      ValueError: it is none, or does not fit.
    """
    if is_peft_folder(lora.path):
        network = _asked_network(lora, weights)
        file = peft_files.open_folder(lora.path, _target(weights, network))
    elif _is_ours(lora.path):
        network = _told_network(lora, weights)
        return Opened(lora=lora, network=network, read=partial(_read_own, lora.path))
    else:
        network = _asked_network(lora, weights)
        file = lora_files.open_lora(lora.path, _target(weights, network))
    return Opened(lora=lora, network=network, read=partial(read_lora, file))


def _is_ours(path: str) -> bool:
    where = files.existing(path, "--lora")
    require_safetensors(where)
    return read_metadata(where).get("format") == adapter_files.FORMAT


def _asked_network(lora: Lora, weights: Weights) -> str:
    """Return the network that the command names: files of others do not tell."""
    family, name = weights.family, weights.config.name
    there = {
        called: network
        for called, network in family.transformers.items()
        if network in weights.networks.loaders
    }
    if len(there) < 2 and lora.transformer:
        raise ValueError(
            f"adapter {lora.path!r}: {name!r} has one transformer; leave out "
            f"{lora.transformer + ':'!r}"
        )
    if len(there) < 2:
        return family.transformer
    if not lora.transformer:
        choices = " or ".join(f"--lora {called}:{lora.path}" for called in there)
        raise ValueError(
            f"adapter {lora.path!r}: {name!r} has two transformers; give {choices}, "
            "or both where it was trained on a model of one"
        )
    return there[lora.transformer]


def _told_network(lora: Lora, weights: Weights) -> str:
    """Return the network that a file of sora_jax names.

    Raises:
      ValueError: it was trained on other weights, or the command names another.
    """
    base = adapter_files.read_description(lora.path)[1]
    if not base.digest:
        raise ValueError(
            f"adapter {lora.path!r} does not say which weights it belongs to: "
            f"{adapter_files.COPY}"
        )
    loaders = weights.networks.loaders
    if base.network not in loaders:
        raise ValueError(
            f"adapter {lora.path!r} has factors of the network "
            f"{files.quoted(base.network)}, and {weights.config.name!r} has "
            f"{', '.join(loaders)}: use it with the weights that it was trained on"
        )
    own = base_of(weights, base.network)
    if base != own:
        raise ValueError(
            f"adapter {lora.path!r} belongs to {base}, not to {own}: use it "
            "with the weights that it was trained on"
        )
    if lora.transformer and _asked_network(lora, weights) != base.network:
        raise ValueError(
            f"adapter {lora.path!r} is for the network {base.network}: leave out "
            f"{lora.transformer + ':'!r}"
        )
    return base.network


def _target(weights: Weights, network: str) -> Target:
    family, spec = weights.family, weights.family.networks[network]
    build = spec.build(weights.config)
    return target_of(
        nnx.eval_shape(lambda: build(nnx.Rngs(0))),
        [e for table in family.tables(weights.config, network) for e in table],
        spec.guess_adapter,
        is_second=network != family.transformer,
    )


def _read_own(path: str, model: nnx.Module) -> Change:
    return adapter_sums.change_of(adapter_files.load_adapter(path, model, base=None))
