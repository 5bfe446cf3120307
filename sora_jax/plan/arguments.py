"""Abstract arguments of steps, sharded like the real ones.

Without a mesh they are plain shapes, for counting FLOPs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sora_jax.config import DiTConfig, DiTRun, ModelConfig
from sora_jax.data.patches import grid_of
from sora_jax.sampling.block_plan import BlockPlan
from sora_jax.sampling.chunk_history import history_of
from sora_jax.sampling.denoising import TOKEN
from sora_jax.sampling.request import Request
from sora_jax.sharding import MeshPlan
from sora_jax.types import (
    PICTURE,
    TEXT,
    Batch,
    Context,
    ContextInputs,
    History,
    Tokens,
)

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
    history: History | None = None,
) -> Tokens:
    """Build rows of tokens.

    Args:
      config: of the transformer.
      rows: of the batch.
      n: tokens of each row.
      levels: noise levels of each row.
      mesh_plan: of the devices.
      axes: their leading logical axes.
      history: of a chunk of one video, for its shapes.
    """
    control, blocks = None, len(config.control_layers)
    if history is not None:
        history = jax.tree.map(
            lambda x: array(mesh_plan, (rows, *x.shape[1:])), history
        )
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
        history=history,
    )


def window_of(config: ModelConfig) -> tuple[int, int, History | None]:
    """Return what is sampled at once: a window, a block or a chunk.

    Returns:
      Its tokens, the most that are cached before it, and the history among its tokens.
    """
    request = Request(prompts=("",), settings=config.sampling)
    t, *cells, channels = request.latent_shape(config)
    patch, chunks = config.dit.patch, config.chunks
    frames, rows, columns = grid_of((t, *cells), patch)
    if config.causal is not None:
        per_frame, plan = rows * columns, BlockPlan(request, config)
        return config.causal.block * per_frame, plan.slots * per_frame, None
    if chunks is None:
        return frames * rows * columns, 0, None
    past = np.zeros((1, int(chunks.keeps_first) + chunks.history, *cells, channels))
    history = history_of(past.astype(np.float32), chunks, patch)
    made = math.prod(grid_of((chunks.frames, *cells), patch))
    return made + history.coords.shape[1], 0, history


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
