"""FLOPs of a step: the model's, and those executed.

Both are computed from the program, not by the compiler, which counts a loop's body once
and ignores kernels.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
from flax import nnx

from sora_jax.config import DiTConfig, DiTRun, ModelConfig
from sora_jax.models.dit import DiT
from sora_jax.models.vae import VAE
from sora_jax.plan.arguments import batch_of, contexts_of, tokens_of, window_of
from sora_jax.plan.chips import Chip
from sora_jax.plan.programs import chunk_of
from sora_jax.sampling import codec
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.training.dit import model_flops, without_remat
from sora_jax.training.flops import count_flops
from sora_jax.types import Tokens

# Matmuls of attention: forward scores and output; backward scores again and four
# gradients.
FORWARD, BACKWARD = 2, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """FLOPs of a step, over all chips.

    Attributes:
      model: forward and backward, without recomputation.
      attention: the part of `model` between queries and keys.
      done: executed outside attention, with recomputation.
      attention_done: executed in attention, with recomputation.
    """

    model: float
    attention: float
    done: float
    attention_done: float

    def seconds(
        self, chip: Chip, chips: int, head_dim: int | float = math.inf
    ) -> float:
        """Return a lower bound of the compute time.

        Heads narrower than the matrix unit use only a part of it.

        Args:
          chip: kind of chip.
          chips: number of chips.
          head_dim: channels of a head; by default the unit counts as full.
        """
        fill = min(1.0, head_dim / chip.matrix_side)
        return (self.done + self.attention_done / fill) / (chip.flops * chips)


def of_training(config: DiTRun) -> Work:
    """Return the FLOPs of a training step; counts padding."""
    rows, n = config.packing.rows, config.packing.tokens
    row = dataclasses.replace(config.packing, rows=1)
    one = batch_of(dataclasses.replace(config, packing=row), SINGLE_DEVICE)
    model = model_flops(config, one)
    # Forward, then backward twice as much.
    attention = rows * attention_flops(config.dit, n, n)
    return with_remat(model, 3 * attention, config.dit.remat)


def with_remat(model: float, attention: float, policy: str) -> Work:
    """Add the recomputation of a remat policy to the FLOPs of a training step.

    Args:
      model: FLOPs of forward and backward passes, without recomputation.
      attention: of these, those between queries and keys.
      policy: of remat.
    """
    forward_again = {"attention": 1.0, "full": 1.0}.get(policy, 0.0)
    attention_again = {"full": 1.0, "dots": 1.0}.get(policy, 0.0)
    kernels = (FORWARD * (1 + attention_again) + BACKWARD) / FORWARD
    return Work(
        model=model,
        attention=attention,
        done=(model - attention) * (1 + forward_again / 3),
        attention_done=kernels * attention / 3,
    )


def of_sampling(config: ModelConfig) -> Work:
    """Return the FLOPs of a denoising step."""
    settings, (n, remembered, _) = config.sampling, window_of(config)
    rows = 2 if settings.guides(config.boundary is not None) else 1
    earlier = rows * attention_flops(config.dit, n, remembered)
    model = forward_flops(config, rows, n) + earlier
    attention = rows * attention_flops(config.dit, n, n) + earlier
    return Work(
        model=model,
        attention=attention,
        done=model - attention,
        attention_done=attention,
    )


def of_decoding(config: ModelConfig) -> Work:
    """Return the FLOPs of decoding a chunk of frames."""
    graphdef, params = nnx.split(
        nnx.eval_shape(lambda: VAE(config.vae, rngs=nnx.Rngs(0)))
    )
    chunk, cache = chunk_of(config, graphdef, params)
    decode = partial(codec.decode_chunk, graphdef)
    model = count_flops(decode, params, chunk, cache)
    return Work(model=model, attention=0.0, done=model, attention_done=0.0)


def attention_flops(config: DiTConfig, queries: int, keys: int) -> float:
    """Return the forward FLOPs between queries and keys of a row, over all layers."""
    return 2.0 * FORWARD * queries * keys * config.width * config.depth


def forward_flops(config: ModelConfig, rows: int, n: int) -> float:
    """Return the forward FLOPs of the transformer, with projected contexts."""
    graphdef, params = nnx.split(
        nnx.eval_shape(lambda: DiT(without_remat(config.dit), rngs=nnx.Rngs(0)))
    )
    contexts = contexts_of(config, rows, n, SINGLE_DEVICE)
    _, _, history = window_of(config)
    memory = jax.eval_shape(
        lambda params, contexts: nnx.merge(graphdef, params).project_contexts(contexts),
        params,
        contexts,
    )

    def forward(params: Any, tokens: Tokens, contexts: Any, memory: Any) -> Any:
        return nnx.merge(graphdef, params)(tokens, contexts, memory)

    return count_flops(
        forward,
        params,
        tokens_of(config.dit, rows, n, 2, SINGLE_DEVICE, history=history),
        contexts,
        memory,
    )
