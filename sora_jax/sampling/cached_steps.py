"""Denoising steps that reuse what the transformer's blocks added in an earlier one.

Two compiled functions in the place of `denoising.denoise_step`: a whole step, which
also returns the residual, and a step that runs no block.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from sora_jax.compiling import jit
from sora_jax.models import dit_residuals
from sora_jax.sampling import denoising
from sora_jax.sampling.denoising import Network
from sora_jax.sharding import MeshPlan
from sora_jax.types import Context, Tokens


class ResidualCache:
    """The residual of the last whole step of a window.

    Attributes:
      skips: for each step, whether it reuses the residual.
    """

    def __init__(self, skips: Sequence[bool]):
        self.skips = tuple(skips)
        self.residual: Float[Array, "b n d"] | None = None

    def step(
        self,
        number: int,
        network: Network,
        stack: Float[Array, "s b n p"],
        tokens: Tokens,
        contexts: dict[str, Context],
        *scalars: Float[Array, "..."],
        fresh: tuple[Array, Array] | None = None,
        is_guided: bool,
    ) -> Float[Array, "s b n p"]:
        """Take step `number`; see `denoising.denoise_step` for the other arguments."""
        arrays = (network.params, network.memory, tokens, contexts)
        options = {"is_guided": is_guided, "mesh_plan": network.mesh_plan}
        if self.skips[number]:
            assert self.residual is not None, "the first step of a phase is whole"
            return skipping_step(
                *(network.graphdef, stack, self.residual, arrays, scalars, fresh),
                **options,
            )
        self.residual = None  # free it before the next one
        stack, self.residual = whole_step(
            *(network.graphdef, stack, arrays, scalars, fresh), **options
        )
        return stack


STATIC = ("graphdef", "is_guided", "mesh_plan")


@jit(static_argnames=STATIC, donate_argnames=denoising.DONATED)
def whole_step(
    graphdef: nnx.GraphDef,
    stack: Array,
    arrays: tuple,
    scalars: tuple,
    fresh: tuple[Array, Array] | None,
    *,
    is_guided: bool,
    mesh_plan: MeshPlan,
) -> tuple[Array, Array]:
    """Take a step; also return the residual."""
    params, memory, tokens, contexts = arrays
    rows = denoising.noisy_rows(stack, tokens, scalars[0], is_guided=is_guided)
    velocity, residual = dit_residuals.velocity_and_residual(
        nnx.merge(graphdef, params), rows, contexts, memory, mesh_plan
    )
    stack = denoising.advance_stack(
        stack, velocity, tokens, scalars[1:], fresh, mesh_plan, is_guided=is_guided
    )
    return stack, residual


@jit(static_argnames=STATIC, donate_argnames=denoising.DONATED)
def skipping_step(
    graphdef: nnx.GraphDef,
    stack: Array,
    residual: Array,
    arrays: tuple,
    scalars: tuple,
    fresh: tuple[Array, Array] | None,
    *,
    is_guided: bool,
    mesh_plan: MeshPlan,
) -> Array:
    """Take a step with the residual of an earlier one."""
    params, _, tokens, contexts = arrays
    rows = denoising.noisy_rows(stack, tokens, scalars[0], is_guided=is_guided)
    velocity = dit_residuals.velocity_from_residual(
        nnx.merge(graphdef, params), rows, contexts, residual, mesh_plan
    )
    return denoising.advance_stack(
        stack, velocity, tokens, scalars[1:], fresh, mesh_plan, is_guided=is_guided
    )


@jit(static_argnames=("mesh_plan",))
def magnitude_ratio(
    residual: Float[Array, "b n d"],
    before: Float[Array, "b n d"],
    target_mask: Bool[Array, "b n"],
    *,
    mesh_plan: MeshPlan,
) -> Float[Array, ""]:
    """Return the mean over tokens of a residual's norm over that of the one before."""
    del mesh_plan
    norm, norm_before = (jnp.linalg.norm(x, axis=-1) for x in (residual, before))
    return jnp.mean(norm / norm_before, where=target_mask)
