"""Abstract arguments of steps, sharded like the real ones.

Without a mesh they are plain shapes, for counting FLOPs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from sora_jax.config import DiTConfig, DiTRun, ModelConfig
from sora_jax.sampling.denoising import TOKEN
from sora_jax.sharding import MeshPlan
from sora_jax.types import PICTURE, TEXT, Batch, Context, ContextInputs, Tokens

Axes = tuple[str | None, ...]
BATCH: Axes = ("batch",)


def batch_of(config: DiTRun, mesh_plan: MeshPlan) -> Batch:
    """Build a batch, sharded as by `sharding.to_device`."""
    packing, text = config.packing, config.text
    rows, n, captions = packing.rows, packing.tokens, packing.samples
    texts, dtype = (rows, captions, text.pad_to), jnp.int32
    if config.text_states:
        texts, dtype = (*texts, text.width), jnp.float16
    tokens = tokens_of(config.dit, rows, n, packing.levels, mesh_plan)
    if packing.causal:
        order = array(mesh_plan, (rows, n), jnp.int32)
        tokens = dataclasses.replace(tokens, order=order)
    return Batch(
        tokens=tokens,
        contexts={
            TEXT: ContextInputs(
                inputs=array(mesh_plan, texts, dtype),
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
    """Build rows of tokens; `axes` names their leading logical axes."""
    control, blocks = None, len(config.control_layers)
    if blocks:
        control = array(mesh_plan, (rows, n, config.control_features), axes=axes)
    return Tokens(
        x=array(mesh_plan, (rows, n, config.patch_features), axes=axes),
        extra=array(mesh_plan, (rows, n, config.extra_features), axes=axes),
        coords=array(mesh_plan, (rows, n, 3), axes=axes),
        segments=array(mesh_plan, (rows, n), jnp.int32, axes),
        levels=array(mesh_plan, (rows, levels)),
        level_ids=array(mesh_plan, (rows, n), jnp.int32, axes),
        target_mask=array(mesh_plan, (rows, n), jnp.bool_, axes),
        control=control,
        control_scale=array(mesh_plan, (rows, blocks)) if blocks else None,
    )


def contexts_of(
    config: ModelConfig, rows: int, n: int, mesh_plan: MeshPlan
) -> dict[str, Context]:
    """Build the contexts: text, and perhaps pictures."""
    lengths = {TEXT: config.text.pad_to}
    if config.picture is not None:
        states = config.picture.states
        lengths[PICTURE] = max(states, config.dit.picture_positions)
    features = dict(config.dit.contexts)
    return {
        name: Context(
            states=array(mesh_plan, (rows, length, features[name])),
            segments=array(mesh_plan, (rows, length), jnp.int32),
            ids=array(mesh_plan, (rows, n), jnp.int32, TOKEN[:2]),
        )
        for name, length in lengths.items()
    }


def array(
    mesh_plan: MeshPlan,
    shape: tuple[int, ...],
    dtype: Any = jnp.float32,
    axes: Axes = BATCH,
) -> jax.ShapeDtypeStruct:
    """Build an array, sharded as far as the mesh divides it.

    Args:
      mesh_plan: of the devices.
      shape: of the array.
      dtype: of its values.
      axes: logical ones of its leading axes.
    """
    axes = (axes + (None,) * len(shape))[: len(shape)]
    return jax.ShapeDtypeStruct(shape, dtype, sharding=mesh_plan.sharding(axes, shape))
