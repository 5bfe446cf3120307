"""The arguments of steps as shapes, placed on a mesh as the real ones are.

Without a mesh they are shapes alone, of which FLOPs are counted.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sora_jax.config import DiTConfig, DiTRun, ModelConfig
from sora_jax.sampling.denoising import TOKEN
from sora_jax.sharding import MeshPlan
from sora_jax.types import TEXT, Batch, Context, ContextInputs, Tokens

Axes = tuple[str | None, ...]
BATCH: Axes = ("batch",)


def batch_of(config: DiTRun, mesh_plan: MeshPlan) -> Batch:
    """A batch as `sharding.to_device` places it."""
    packing, text = config.packing, config.text
    rows, n, captions = packing.rows, packing.tokens, packing.samples
    return Batch(
        tokens=tokens_of(config.dit, rows, n, captions + 1, mesh_plan),
        contexts={
            TEXT: ContextInputs(
                inputs=array(mesh_plan, (rows, captions, text.pad_to), jnp.int32),
                ids=array(mesh_plan, (rows, n), jnp.int32),
            )
        },
    )


def tokens_of(
    config: DiTConfig,
    rows: int,
    n: int,
    levels: int,
    mesh_plan: MeshPlan,
    axes: Axes = BATCH,
) -> Tokens:
    """Rows of tokens, whose leading axes lie along logical ones."""
    return Tokens(
        x=array(mesh_plan, (rows, n, config.patch_features), axes=axes),
        extra=array(mesh_plan, (rows, n, config.extra_features), axes=axes),
        coords=array(mesh_plan, (rows, n, 3), axes=axes),
        segments=array(mesh_plan, (rows, n), jnp.int32, axes),
        levels=array(mesh_plan, (rows, levels)),
        level_ids=array(mesh_plan, (rows, n), jnp.int32, axes),
        target_mask=array(mesh_plan, (rows, n), jnp.bool_, axes),
    )


def contexts_of(
    config: ModelConfig, rows: int, n: int, mesh_plan: MeshPlan
) -> dict[str, Context]:
    """The text that tokens read."""
    length = config.text.pad_to
    text = Context(
        states=array(mesh_plan, (rows, length, config.text.width)),
        segments=array(mesh_plan, (rows, length), jnp.int32),
        ids=array(mesh_plan, (rows, n), jnp.int32, TOKEN[:2]),
    )
    return {TEXT: text}


def array(
    mesh_plan: MeshPlan,
    shape: tuple[int, ...],
    dtype: Any = jnp.float32,
    axes: Axes = BATCH,
) -> jax.ShapeDtypeStruct:
    """An array that is shared as far as the mesh divides it; alone, its shape.

    Args:
      mesh_plan: of the devices.
      shape: of the array.
      dtype: of its values.
      axes: logical ones of its leading axes.
    """
    axes = (axes + (None,) * len(shape))[: len(shape)]
    return jax.ShapeDtypeStruct(shape, dtype, sharding=mesh_plan.sharding(axes, shape))
