"""Adapters on disk: a safetensors file whose metadata name the base model.

Its tensors are named like "blocks/self_attention/qkv/lora_down".
"""

from __future__ import annotations

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from etils import epath
from flax import nnx

from sora_jax import files
from sora_jax.config import AdapterConfig, from_json
from sora_jax.files import PathLike
from sora_jax.weights.adapters import Adapter, Factors, factor_shapes, linears
from sora_jax.weights.headers import StoredTensor, read_headers, read_metadata
from sora_jax.weights.mapped import map_file
from sora_jax.weights.model_weights import Weights
from sora_jax.weights.safetensors_io import require_safetensors
from sora_jax.weights.tensor_checks import differences, is_finite, refuse_infinite
from sora_jax.workdir import write_bytes

FORMAT = "sora_jax adapter"
FACTORS = ("lora_down", "lora_up")
COPY = "copy or download the file again"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    """The model and network that an adapter was trained on."""

    # The model's name.
    name: str
    # Hash of the model's files.
    digest: str
    # The network with the factors.
    network: str

    def __str__(self) -> str:
        return f"the {self.network} of {files.quoted(self.name)} ({self.digest})"


def base_of(weights: Weights, network: str) -> Base:
    """Identify a network of loaded weights."""
    return Base(name=weights.config.name, digest=weights.digest, network=network)


def save_adapter(path: PathLike, adapter: Adapter, base: Base) -> None:
    """Write an adapter; replaces an existing file atomically."""
    target = epath.Path(path)
    require_safetensors(target)
    tensors = {
        f"{name}/{kind}": np.asarray(value)
        for name, factors in adapter.factors.items()
        for kind, value in zip(FACTORS, (factors.down, factors.up), strict=True)
    }
    metadata = {
        "format": FORMAT,
        "adapter": json.dumps(dataclasses.asdict(adapter.config)),
        "base": json.dumps(dataclasses.asdict(base)),
    }
    write_bytes(target, safetensors.numpy.save(tensors, metadata=metadata))


def read_description(path: PathLike) -> tuple[AdapterConfig, Base]:
    """Read an adapter's config and base, without its tensors.

    Raises:
      ValueError: the file is not an adapter, or is damaged.
    """
    target = epath.Path(path)
    require_safetensors(target)
    metadata = read_metadata(target)
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"adapter {str(target)!r} is not of this format (its 'format' is "
            f"{files.quoted(metadata.get('format'))}): give a file that was written by "
            "sora_jax"
        )
    found = []
    for name, kind in (("adapter", AdapterConfig), ("base", Base)):
        try:
            data = files.decode_json(metadata.get(name, "").encode(), dict)
            found.append(from_json(kind, data, whole=True))
        except ValueError as error:
            raise ValueError(
                f"adapter {str(target)!r}: {name}: {error}: {COPY}"
            ) from error
    config, base = found
    return config, base


def load_adapter(path: PathLike, model: nnx.Module, base: Base | None) -> Adapter:
    """Read an adapter for a model.

    Args:
      path: the file.
      model: the model for `adapters.insert`.
      base: identity of the model; None accepts any base of the same shapes.

    Raises:
      ValueError: the file is not an adapter or is damaged, or the adapter has another
        base or does not fit the model.
    """
    target = epath.Path(path)
    config, trained_on = read_description(target)
    if base is not None and trained_on != base:
        raise ValueError(
            f"adapter {str(target)!r} belongs to {trained_on}, not to {base}: use "
            "it with the weights that it was trained on"
        )
    stored = read_headers([target])
    # Match by tensor names: the file's regular expressions are untrusted.
    paths = {name.rpartition("/")[0] for name in stored}
    wanted = {
        f"{path}/{kind}": shape
        for path, linear in linears(model).items()
        if path in paths
        for kind, shape in zip(FACTORS, factor_shapes(linear, config.rank), strict=True)
    }
    problems = differences({n: tensor.shape for n, tensor in stored.items()}, wanted)
    if problems or not wanted:
        raise ValueError(
            f"adapter {str(target)!r} does not fit the model; use it with the model "
            "that it was trained on:\n" + "\n".join(problems or ["  it has no factors"])
        )
    tensors = read_tensors(target, stored)
    factors = {
        name: Factors(down=tensors[f"{name}/lora_down"], up=tensors[f"{name}/lora_up"])
        for name in sorted(paths)
    }
    return Adapter(config=config, factors=factors)


def read_tensors(
    path: epath.Path, stored: dict[str, StoredTensor]
) -> dict[str, jnp.ndarray]:
    """Read the tensors of a file in float32.

    Raises:
      ValueError: some hold NaN or infinity.
    """
    with map_file(path) as file:
        values = {name: file.tensor(tensor) for name, tensor in stored.items()}
        refuse_infinite(str(path), [n for n, x in values.items() if not is_finite(x)])
        return {name: jnp.array(value, jnp.float32) for name, value in values.items()}
