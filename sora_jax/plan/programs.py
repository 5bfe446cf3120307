"""Lower the steps of train.py and sample.py for absent machines.

Arguments are shapes with shardings: nothing is computed or allocated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import NamedSharding
from jax.stages import Lowered

from sora_jax import sharding
from sora_jax.config import (
    DiTConfig,
    DiTRun,
    ModelConfig,
    resolve_dtypes,
)
from sora_jax.diffusion import solvers
from sora_jax.diffusion.stages import stage_table
from sora_jax.models import dit_cache
from sora_jax.models.dit import DiT
from sora_jax.models.vae import VAE
from sora_jax.nn.flash import Meta
from sora_jax.nn.kv_cache import KVCache
from sora_jax.nn.parameters import metadata
from sora_jax.nn.precision import compute_dtype
from sora_jax.nn.quantized import is_quantized, quantize
from sora_jax.plan.arguments import (
    array,
    batch_of,
    contexts_of,
    tokens_of,
    window_of,
)
from sora_jax.sampling import codec, denoising
from sora_jax.sampling.codec import FRAMES
from sora_jax.sampling.request_checks import check_shape
from sora_jax.sharding import MeshPlan
from sora_jax.training import dit
from sora_jax.training.step import jitted_train_step
from sora_jax.types import Context


def lower_train_step(config: DiTRun, mesh_plan: MeshPlan) -> Lowered:
    """Lower a step of training.

    Raises:
      ValueError: the mesh cannot share rows, tokens or heads.
    """
    program = dit.train_program(config, mesh_plan)
    update = jitted_train_step(
        program.loss, program.optimization, config.seed, mesh_plan.platform
    )
    batch = batch_of(config, mesh_plan)
    return update.lower(program.state.abstract, program.frozen, batch)


def lower_sample_step(config: ModelConfig, mesh_plan: MeshPlan) -> Lowered:
    """Lower a step of denoising one video of the config's own frames and size.

    Of a causal model it denoises a block, beside all the blocks that it can see.

    Raises:
      ValueError: the model does not support that shape, or the mesh does not divide it.
    """
    config = resolve_dtypes(config, mesh_plan.platform)
    settings = config.sampling
    if problems := check_shape(settings, config, ("frames",)):
        raise ValueError("\n".join(problems))
    queries, remembered, history = window_of(config)
    rows = 2 if settings.guides(config.boundary is not None) else 1
    n = mesh_plan.round_up(queries, "tokens")
    graphdef, params = network_of(config, mesh_plan)
    contexts = contexts_of(config, rows, n, mesh_plan)
    memory = memory_of(graphdef, params, contexts, mesh_plan)
    leading = denoising.TOKEN[:2]
    tokens = tokens_of(config.dit, rows, n, 2, mesh_plan, leading, history)
    cache = None
    if remembered:
        cache = cache_of(config.dit, rows, remembered, mesh_plan)
    scalar = array(mesh_plan, ())
    matrix = matrix_of(config)
    shape = (matrix.shape[0], 1, n, config.dit.patch_features)
    stack = array(mesh_plan, shape, axes=denoising.STACK)
    compiled = jax.jit(
        denoising.compiled_step,
        static_argnames=denoising.STATIC,
        donate_argnames=denoising.DONATED,
    )
    return compiled.lower(
        graphdef,
        stack,
        (params, memory, tokens, contexts, cache),
        (scalar, array(mesh_plan, matrix.shape), scalar),
        is_guided=rows == 2,
        mesh_plan=mesh_plan,
    )


def cache_of(config: DiTConfig, rows: int, tokens: int, mesh_plan: MeshPlan) -> KVCache:
    """Return the shapes of the cache of a causal model."""
    shape = (config.depth, rows, tokens, config.heads, config.head_dim)
    dtype, axes = compute_dtype(config.dtype), dit_cache.AXES
    held: Any = array(mesh_plan, shape, dtype, axes)
    segments: Any = array(mesh_plan, shape[1:3], jnp.int32, axes[1:3])
    return KVCache(held, held, Meta(segments=segments))


def lower_decode_step(config: ModelConfig, mesh_plan: MeshPlan) -> Lowered:
    """Lower the decoding of a later chunk of a video.

    Args:
      config: of the model.
      mesh_plan: of the devices, which are rearranged to share frames.
    """
    mesh_plan = codec.frame_mesh_plan(config.vae, config.sampling.size, mesh_plan)
    config = resolve_dtypes(config, mesh_plan.platform)
    graphdef, params = nnx.split(
        nnx.eval_shape(lambda: VAE(config.vae, rngs=nnx.Rngs(0)))
    )
    chunk, cache = chunk_of(config, graphdef, params)
    place = partial(array, mesh_plan, axes=())
    params = jax.tree.map(lambda x: place(x.shape, x.dtype), params)
    cache = jax.tree.map(lambda x: array(mesh_plan, x.shape, x.dtype, FRAMES), cache)
    return codec.run_decoder.lower(
        graphdef, params, place(chunk.shape), cache, mesh_plan
    )


def chunk_of(
    config: ModelConfig, graphdef: nnx.GraphDef, params: Any
) -> tuple[jax.ShapeDtypeStruct, Any]:
    """Return the shapes of a chunk of latents and of the cache from the one before."""
    size, vae = config.sampling.size, config.vae
    rows, columns = (side // vae.space_factor for side in size)
    step = codec.frames_at_once(vae, size)
    chunk = jax.ShapeDtypeStruct((1, step, rows, columns, vae.channels), jnp.float32)
    opening = jax.ShapeDtypeStruct((1, 1 + step, *chunk.shape[2:]), jnp.float32)
    decode = partial(codec.decode_chunk, graphdef)
    _, cache = jax.eval_shape(decode, params, opening, None)
    return chunk, cache


def matrix_of(config: ModelConfig) -> Any:
    """Return a solver's matrix, for its shape."""
    settings = config.sampling
    if config.chunks is not None:
        return stage_table(settings.solver, 4, settings.shift, None).matrices[0]
    return solvers.make_table(settings.solver, 4, settings.shift, 1.0).matrices[0]


def network_of(model: ModelConfig, mesh_plan: MeshPlan) -> tuple[nnx.GraphDef, Any]:
    """Return a transformer's shapes, in the dtypes in which weights are loaded."""
    config = resolve_dtypes(model.dit, mesh_plan.platform)
    module = nnx.eval_shape(
        lambda: quantize(DiT(config, rngs=nnx.Rngs(0)), model.quantization)
    )
    placed = sharding.parameter_shardings(module, mesh_plan)
    graphdef, params = nnx.split(module)
    dtype = compute_dtype(config.dtype)

    def place(x: Any, exact: bool, where: NamedSharding) -> jax.ShapeDtypeStruct:
        kept = x.dtype if exact or is_quantized(x.dtype) else dtype
        return jax.ShapeDtypeStruct(x.shape, kept, sharding=where)

    flat = nnx.to_pure_dict(params)
    exactly = metadata(module, "keep_float32", False)
    nnx.replace_by_pure_dict(params, jax.tree.map(place, flat, exactly, placed))
    return graphdef, params


def memory_of(
    graphdef: nnx.GraphDef,
    params: Any,
    contexts: dict[str, Context],
    mesh_plan: MeshPlan,
) -> Any:
    """Return the shapes of the projected contexts."""

    def project(params: Any, contexts: dict[str, Context]) -> Any:
        return nnx.merge(graphdef, params).project_contexts(contexts)

    axes = (None, "batch", None, "heads", None)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=mesh_plan.sharding(axes, x.shape)
        ),
        jax.eval_shape(project, params, contexts),
    )
