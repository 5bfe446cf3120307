"""`Weights`: a model's config, tokenizer and networks, which load on first use."""

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
    """Networks by name, each loaded on first access.

    With `keep=False` (they do not fit into memory together) an access drops the network
    loaded before it; callers must not hold references to that one.
    """

    def __init__(
        self, loaders: Mapping[str, Callable[[], nnx.Module]], *, keep: bool = True
    ):
        self.loaders, self.keep = loaders, keep
        self._held: dict[str, nnx.Module] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a network, loading it if needed."""
        if name not in self._held:
            if not self.keep:
                self._held.clear()
            self._held[name] = self.loaders[name]()
        return self._held[name]

    def shared(self) -> dict[str, Callable[[], Any]]:
        """Return loaders of the same networks, which hold no second copy of them."""
        if not self.keep:  # of which one at a time is held, and not by two
            return dict(self.loaders)
        return {name: lambda name=name: self[name] for name in self.loaders}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Everything that sampling needs of a model.

    Attributes:
      config: sizes of the networks and sampling defaults.
      tokenizer: text to token ids.
      networks: by the names that the family gives them.
      digest: hash of the files that the networks are loaded from.
      mesh_plan: placement of the parameters.
      family: the model's family.
      plain: the same without its adapters, if it has any.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    networks: LazyNetworks
    digest: str = ""
    mesh_plan: MeshPlan = SINGLE_DEVICE
    family: Family = OURS
    plain: Weights | None = None

    @property
    def vae(self) -> Any:
        """The network between pixels and latents."""
        return self.networks[self.family.autoencoder]


def weights_in_memory(
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    family: Family = OURS,
    **networks: nnx.Module,
) -> Weights:
    """Wrap networks that are already in memory."""
    loaders = {name: lambda held=network: held for name, network in networks.items()}
    return Weights(
        config=config,
        tokenizer=tokenizer,
        networks=LazyNetworks(loaders),
        family=family,
    )
