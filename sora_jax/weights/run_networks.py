"""Build the networks of a DiT run: its transformer may have an adapter."""

from __future__ import annotations

from flax import nnx

from sora_jax.config import DiTRun
from sora_jax.families import OURS
from sora_jax.weights import adapters


def build_network(run: DiTRun, name: str, rngs: nnx.Rngs) -> nnx.Module:
    """Build a network of a run, with initial parameters."""
    network = OURS.networks[name].build(run)(rngs)
    if name != OURS.transformer or run.adapter is None:
        return network
    return adapters.attach(network, run.adapter, rngs)
