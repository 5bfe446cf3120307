"""The diffusion transformer, with what its blocks add to their input kept or reused."""

from __future__ import annotations

from jaxtyping import Array, Float

from sora_jax.models.dit import DiT, Memory
from sora_jax.sharding import MeshPlan
from sora_jax.types import Context, Tokens


def velocity_and_residual(
    dit: DiT,
    tokens: Tokens,
    contexts: dict[str, Context],
    memory: Memory,
    mesh_plan: MeshPlan,
) -> tuple[Float[Array, "b n p"], Float[Array, "b n d"]]:
    """Predict velocities; also return the output of the last block minus the input."""
    x, time, inputs = dit.embed_inputs(tokens, contexts, mesh_plan)
    y, _ = dit.run_layers(x, inputs, tokens, contexts, memory)
    residual = mesh_plan.constrain(y - x, "batch", "tokens", "embed_activation")
    return dit.read_out(y, time, inputs), residual


def velocity_from_residual(
    dit: DiT,
    tokens: Tokens,
    contexts: dict[str, Context],
    residual: Float[Array, "b n d"],
    mesh_plan: MeshPlan,
) -> Float[Array, "b n p"]:
    """Predict velocities with an earlier residual in the place of all blocks."""
    x, time, inputs = dit.embed_inputs(tokens, contexts, mesh_plan)
    return dit.read_out(x + residual, time, inputs)
