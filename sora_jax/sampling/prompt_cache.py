"""Encoded prompts, kept between windows and videos."""

from __future__ import annotations

import dataclasses

from sora_jax.sampling import denoising
from sora_jax.types import Batch, Context, ContextInputs
from sora_jax.weights.model_weights import Weights


class PromptCache:
    """Encoded prompts: the contexts, and the transformer's keys and values of them."""

    def __init__(self, weights: Weights):
        self.weights = weights
        self._contexts: dict[str, tuple[bytes, Context]] = {}
        self._network: tuple[tuple[str, bytes], denoising.Network] | None = None

    def contexts(self, batch: Batch) -> dict[str, Context]:
        """Return every context of a batch; encodes those that are not cached."""
        return {name: self._context(name, x) for name, x in batch.contexts.items()}

    def _context(self, name: str, read: ContextInputs) -> Context:
        mesh_plan = self.weights.mesh_plan
        key = str(read.inputs.shape).encode() + read.inputs.tobytes()
        if name not in self._contexts or self._contexts[name][0] != key:
            encoder = self.weights.networks[self.weights.family.contexts[name]]
            context = denoising.encode_context(encoder, read, mesh_plan)
            self._contexts[name] = key, context
        ids = mesh_plan.put(read.ids, *denoising.TOKEN[:2])
        return dataclasses.replace(self._contexts[name][1], ids=ids)

    def network(
        self, name: str, batch: Batch, contexts: dict[str, Context]
    ) -> denoising.Network:
        """Return a transformer with the projected contexts of the prompts."""
        inputs = b"".join(x.inputs.tobytes() for x in batch.contexts.values())
        key = name, inputs
        if self._network is None or self._network[0] != key:
            self._network = None  # free it before the next one loads
            dit = self.weights.networks[name]
            mesh_plan = self.weights.mesh_plan
            self._network = key, denoising.prepare_network(dit, contexts, mesh_plan)
        return self._network[1]

    def release_network(self) -> None:
        """Free the transformer if networks do not fit into memory together."""
        if not self.weights.networks.keep:
            self._network = None
