"""The optimizer: clipping, AdamW or Muon, a schedule, and gradient accumulation."""

from __future__ import annotations

import jax
import optax
from optax import contrib

from sora_jax.config import OptimConfig

# Muon is meant for the matrices of hidden layers, which end in these names, unless
# they touch data, noise levels or latents; AdamW trains the rest (Jordan et al. 2024).
OUTER = {
    "kernel": frozenset(("embed", "place", "time", "time_table", "head")),
    "filters": frozenset(("conv_in", "moments", "latents", "head")),
}
# Weight decay is for matrices: never for biases, norms, or the latents' statistics.
# Beside Muon, the matrices that AdamW trains do not decay either.
DECAYED = frozenset((*OUTER, "embedding"))


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
    """Warm up, hold, then decay linearly to zero at the end of the run."""
    decay = max(1, int(config.decay * steps))
    warmup = max(1, min(config.warmup, steps - decay))
    return optax.join_schedules(
        [
            optax.linear_schedule(config.lr / warmup, config.lr, warmup),
            optax.constant_schedule(config.lr),
            optax.linear_schedule(config.lr, 0.0, decay),
        ],
        [warmup, max(warmup, steps - decay)],
    )


def optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """Build the optimizer of a run of `steps` batches."""
    rate = schedule(config, steps // config.accumulate)
    if config.name == "muon":
        update = contrib.muon(
            rate,
            weight_decay=config.weight_decay,
            adam_b1=config.betas[0],
            adam_b2=config.betas[1],
            muon_weight_dimension_numbers=muon_dimensions,
            # Updates as large as Adam's, so that one learning rate serves both.
            consistent_rms=0.2,
        )
    else:
        update = optax.adamw(
            rate,
            *config.betas,
            weight_decay=config.weight_decay,
            mask=decayed,
        )
    clip = (
        optax.identity()
        if config.clip is None
        else optax.clip_by_global_norm(config.clip)
    )
    return accumulated(optax.chain(clip, update), config.accumulate)


def accumulated(
    transform: optax.GradientTransformation, batches: int
) -> optax.GradientTransformation:
    """Let a transformation see the mean gradient of so many batches at once."""
    if batches == 1:
        return transform
    return optax.MultiSteps(transform, batches).gradient_transformation()


def decayed(params: optax.Params) -> optax.Params:
    """Say which parameters decay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: _names(path)[-1] in DECAYED, params
    )


def muon_dimensions(params: optax.Params) -> optax.Params:
    """Say which axes of each parameter are inputs and outputs; None means AdamW.

    A stack of layers, or of fused projections, is many matrices: the leading axis and
    the middle axis are left alone, so that each is orthogonalised by itself.
    """

    def dimensions(
        path: tuple, value: jax.Array
    ) -> contrib.MuonDimensionNumbers | None:
        *modules, kind = _names(path)
        if kind not in OUTER or OUTER[kind].intersection(modules):
            return None
        if kind == "filters":
            return contrib.MuonDimensionNumbers(tuple(range(value.ndim - 1)), -1)
        # A kernel of more than two axes is stacked: (layers, in, ..., out).
        return contrib.MuonDimensionNumbers(0 if value.ndim == 2 else 1, -1)

    return jax.tree_util.tree_map_with_path(dimensions, params)


def _names(path: tuple) -> list[str]:
    return [str(getattr(key, "key", key)) for key in path]
