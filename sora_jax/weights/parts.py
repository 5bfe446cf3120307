"""The networks of a model, loaded when they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from sora_jax.config import ModelConfig
from sora_jax.families import OURS, Family
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan


class LazyNetworks:
    """Networks by name, each loaded when it is first asked for.

    Where they do not fit into memory together, only the last that was asked for stays;
    who asks must not hold on to those before.
    """

    def __init__(
        self, loaders: Mapping[str, Callable[[], nnx.Module]], *, keep: bool = True
    ):
        self.loaders, self.keep = loaders, keep
        self._held: dict[str, nnx.Module] = {}

    def __getitem__(self, name: str) -> Any:
        """The network of that name."""
        if name not in self._held:
            if not self.keep:
                self._held.clear()
            self._held[name] = self.loaders[name]()
        return self._held[name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Everything that makes videos.

    Attributes:
      config: which networks, of which size, and how they are sampled by default.
      tokenizer: text to token ids.
      parts: its networks, by the names that the family gives them.
      digest: of the files that they are loaded from.
      mesh_plan: of the devices that they lie on.
      family: of the model.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    parts: LazyNetworks
    digest: str = ""
    mesh_plan: MeshPlan = SINGLE_DEVICE
    family: Family = OURS


def weights_in_memory(
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    family: Family = OURS,
    **networks: nnx.Module,
) -> Weights:
    """Weights of networks that are there already."""
    loaders = {name: lambda held=network: held for name, network in networks.items()}
    parts = LazyNetworks(loaders)
    return Weights(config=config, tokenizer=tokenizer, parts=parts, family=family)
