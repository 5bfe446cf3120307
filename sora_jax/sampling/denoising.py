"""The jitted functions of denoising: text encoder, context projection, one step.

Python drives the step, so that progress is shown and an interrupt stops at the next
one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sora_jax.compiling import jit
from sora_jax.diffusion import solvers
from sora_jax.diffusion.guidance import guide, projected
from sora_jax.models.dit import DiT
from sora_jax.models.dit_cache import write_cache
from sora_jax.nn.kv_cache import KVCache
from sora_jax.sampling.request import Request
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan
from sora_jax.types import Context, ContextInputs, Tokens

# Logical axes of per-token arrays and of the solver's stack.
TOKEN = ("batch", "tokens", None)
STACK = (None, *TOKEN)
# An nnx.State; beartype rejects its generic annotation.
Params = Any
MOST_WINDOWS = 100_000  # in one segment
STEPS = 2**31  # apart from every number of a window


class Network(NamedTuple):
    """A split transformer, and what it attends to beside the tokens.

    Attributes:
      graphdef: of the transformer.
      params: its parameters.
      memory: the projected contexts of the prompts.
      mesh_plan: how devices share the arrays.
      cache: keys and values of earlier blocks, if it makes a video block by block.
    """

    graphdef: nnx.GraphDef
    params: Params
    memory: Any
    mesh_plan: MeshPlan = SINGLE_DEVICE
    cache: KVCache | None = None


def draw_noise(
    request: Request, window: int, shape: tuple[int, ...], step: int | None = None
) -> Float[Array, "b ..."]:
    """Draw noise that depends on a video's seed and window, not on the batch.

    Args:
      request: whose noise it is.
      window: its number.
      shape: of each video's noise.
      step: of a stochastic solver; None for the initial noise.
    """
    keys = keys_of(request, window, step)
    return jnp.stack([jax.random.normal(key, shape) for key in keys])


def keys_of(request: Request, window: int, step: int | None = None) -> list[Array]:
    """Return a key for each video; see `draw_noise` for the arguments."""
    key = jax.random.key(request.seed)
    keys = [jax.random.fold_in(key, i) for i in range(len(request.prompts))]
    number = request.part * MOST_WINDOWS + window
    if number:
        keys = [jax.random.fold_in(key, number) for key in keys]
    if step is not None:  # a stream of keys apart from those above
        keys = [jax.random.fold_in(jax.random.fold_in(k, STEPS), step) for k in keys]
    return keys


def place_tokens(tokens: Tokens, mesh_plan: MeshPlan) -> Tokens:
    """Place tokens on their devices, once for all steps."""
    axes: dict[str, tuple[str | None, ...]] = {
        field.name: TOKEN for field in dataclasses.fields(tokens)
    }
    axes["levels"] = axes["control_scale"] = ("batch", None)
    axes["history"] = ("batch", None, None, None)  # shared by the devices of a row

    def put(name: str) -> Any:
        return jax.tree.map(
            lambda x: mesh_plan.put(x, *axes[name][: x.ndim]), getattr(tokens, name)
        )

    return dataclasses.replace(tokens, **{name: put(name) for name in axes})


def encode_context(
    encoder: nnx.Module, read: ContextInputs, mesh_plan: MeshPlan = SINGLE_DEVICE
) -> Context:
    """Encode the inputs of a context; block, so that the encoder can be freed."""
    states, segments = jax.block_until_ready(
        run_context_encoder(
            *nnx.split(encoder),
            mesh_plan.put(read.inputs, "batch", *(None,) * (read.inputs.ndim - 1)),
            mesh_plan=mesh_plan,
        )
    )
    return Context(states=states, segments=segments, ids=read.ids)


def prepare_network(
    dit: DiT, contexts: dict[str, Context], mesh_plan: MeshPlan = SINGLE_DEVICE
) -> Network:
    """Project the contexts to keys and values, once per prompt."""
    graphdef, params = nnx.split(dit)
    memory = project_contexts(graphdef, params, contexts, mesh_plan=mesh_plan)
    return Network(graphdef, params, jax.block_until_ready(memory), mesh_plan)


@jit(static_argnames=("graphdef", "mesh_plan"))
def run_context_encoder(
    graphdef: nnx.GraphDef, params: Params, inputs: Array, *, mesh_plan: MeshPlan
) -> tuple[Array, Array]:
    """Run a `models.contexts.ContextEncoder`."""
    return nnx.merge(graphdef, params).encode(inputs, mesh_plan)


@jit(static_argnames=("graphdef", "mesh_plan"))
def project_contexts(
    graphdef: nnx.GraphDef,
    params: Params,
    contexts: dict[str, Context],
    *,
    mesh_plan: MeshPlan,
) -> Any:
    """Project the contexts to keys and values for every layer."""
    return nnx.merge(graphdef, params).project_contexts(contexts, mesh_plan)


def denoise_step(
    network: Network,
    stack: Float[Array, "s b n p"],
    tokens: Tokens,
    contexts: dict[str, Context],
    time: Float[Array, ""],
    matrix: Float[Array, "s s2"],
    guidance: Float[Array, ""],
    fresh: tuple[Array, Array] | None = None,
    *,
    is_guided: bool,
    projects: bool = False,
) -> Float[Array, "s b n p"]:
    """Evaluate the velocity (guided: conditional and unconditional) and step.

    `fresh` holds the row of `Table.noise` and new noise, for a stochastic solver;
    `projects` is for CFG-Zero*.
    """
    arrays = (network.params, network.memory, tokens, contexts, network.cache)
    scalars = (time, matrix, guidance)
    return _compiled(
        network.graphdef,
        stack,
        arrays,
        scalars,
        fresh,
        is_guided=is_guided,
        projects=projects,
        mesh_plan=network.mesh_plan,
    )


STATIC, DONATED = ("graphdef", "is_guided", "projects", "mesh_plan"), "stack"


def compiled_step(
    graphdef: nnx.GraphDef,
    stack: Array,
    arrays: tuple,
    scalars: tuple,
    fresh: tuple[Array, Array] | None = None,
    *,
    is_guided: bool,
    projects: bool = False,
    mesh_plan: MeshPlan,
) -> Array:
    """The jitted part of `denoise_step`."""
    params, memory, tokens, contexts, cache = arrays
    rows = noisy_rows(stack, tokens, scalars[0], is_guided=is_guided)
    dit = nnx.merge(graphdef, params)
    velocity = dit(rows, contexts, memory, mesh_plan, cache=cache)
    return advance_stack(
        *(stack, velocity, tokens, scalars[1:], fresh, mesh_plan),
        is_guided=is_guided,
        projects=projects,
    )


def noisy_rows(stack: Array, tokens: Tokens, time: Array, *, is_guided: bool) -> Tokens:
    """Put the sample and its time into the rows that the transformer reads."""
    x = jnp.concatenate([stack[0], stack[0]]) if is_guided else stack[0]
    x = jnp.where(tokens.target_mask[..., None], x, tokens.x)
    levels = jnp.full_like(tokens.levels, time).at[:, 0].set(0.0)
    return dataclasses.replace(tokens, x=x, levels=levels)


def advance_stack(
    stack: Array,
    velocity: Array,
    tokens: Tokens,
    scalars: tuple,
    fresh: tuple[Array, Array] | None,
    mesh_plan: MeshPlan,
    *,
    is_guided: bool,
    projects: bool = False,
) -> Array:
    """Guide the velocity, and take the solver's step."""
    matrix, guidance = scalars
    if is_guided:
        if projects:  # only the velocity of the video counts
            velocity = jnp.where(tokens.target_mask[..., None], velocity, 0.0)
        with_prompt, without = jnp.split(velocity, 2)
        if projects:
            without = projected(with_prompt, without)
        velocity = guide(with_prompt, without, guidance)
    velocity = jnp.where(tokens.target_mask[: len(velocity), :, None], velocity, 0.0)
    weights, noise = fresh or (None, None)
    stepped = solvers.advance(stack, velocity, matrix, weights, noise)
    return mesh_plan.constrain(stepped, *STACK)


_compiled = jit(static_argnames=STATIC, donate_argnames=DONATED)(compiled_step)


def remember(
    network: Network,
    tokens: Tokens,
    contexts: dict[str, Context],
    slots: Int[Array, " t"],
    size: int,
) -> KVCache:
    """Put a finished block into the network's cache, which is consumed.

    Args:
      network: the transformer, with the cache.
      tokens: of the block; all count as clean.
      contexts: what they attend to.
      slots: of each frame of the block; -1 drops it.
      size: tokens of a frame.
    """
    arrays = (network.params, network.memory, tokens, contexts, slots)
    return compiled_remember(
        *(network.graphdef, network.cache, arrays),
        size=size,
        mesh_plan=network.mesh_plan,
    )


REMEMBER_STATIC = ("graphdef", "size", "mesh_plan")


@jit(static_argnames=REMEMBER_STATIC, donate_argnames="cache")
def compiled_remember(
    graphdef: nnx.GraphDef,
    cache: KVCache,
    arrays: tuple,
    *,
    size: int,
    mesh_plan: MeshPlan,
) -> KVCache:
    """The jitted part of `remember`."""
    params, memory, tokens, contexts, slots = arrays
    clean = dataclasses.replace(tokens, levels=jnp.zeros_like(tokens.levels))
    return write_cache(
        *(nnx.merge(graphdef, params), clean, contexts, memory),
        *(mesh_plan, cache, slots, size),
    )
