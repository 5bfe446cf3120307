"""The transformer of a DiT run: with the run's adapter, if it has one."""

from __future__ import annotations

from flax import nnx

from sora_jax.config import DiTRun
from sora_jax.models.dit import DiT
from sora_jax.weights import adapters


def build_dit(run: DiTRun, rngs: nnx.Rngs) -> DiT:
    """Build the transformer of a run, with initial parameters."""
    dit = DiT(run.dit, rngs=rngs)
    return dit if run.adapter is None else adapters.attach(dit, run.adapter, rngs)
