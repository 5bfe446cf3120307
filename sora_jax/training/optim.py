"""The optimizer: clipping, AdamW or Muon, a schedule, and gradient accumulation.

The module that declares a parameter sets its `optimizer_group`:
  "hidden": a matrix of a hidden layer, or a stack of them: (..., in, ..., out).
  "hidden_filters": the filters of a hidden convolution: (t, h, w, in, out).
  "outer": a matrix that touches data, noise levels or latents.
  none: biases, scales and other vectors, which never decay.
Muon trains hidden matrices, and AdamW the others (Jordan et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import optax
from optax import contrib

from sora_jax.config import OptimConfig
from sora_jax.parameter_trees import Params, Path

Groups = Mapping[Path, str | None]


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


def optimizer(
    config: OptimConfig, steps: int, groups: Groups
) -> optax.GradientTransformation:
    """Build the optimizer of a run.

    Args:
      config: of the optimizer.
      steps: batches of the run.
      groups: the optimizer group of every parameter, by its path.
    """

    def decayed(params: optax.Params) -> optax.Params:
        return _by_path(lambda path, _: groups[path] is not None, params)

    def muon_dimensions(params: optax.Params) -> optax.Params:
        return _by_path(lambda path, x: matrix_axes(groups[path], x.ndim), params)

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
    return accumulate_gradients(optax.chain(clip, update), config.accumulate)


def accumulate_gradients(
    transform: optax.GradientTransformation, batches: int
) -> optax.GradientTransformation:
    """Apply a transformation to the mean gradient of several batches."""
    if batches == 1:
        return transform
    return optax.MultiSteps(transform, batches).gradient_transformation()


def by_network(
    transforms: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformation:
    """Apply a separate optimizer to each network."""

    def labels(params: Params) -> Params:
        return _by_path(lambda path, _: path[0], params)

    by_label: dict[Hashable, optax.GradientTransformation] = {**transforms}
    return optax.partition(by_label, labels)


def matrix_axes(group: str | None, ndim: int) -> contrib.MuonDimensionNumbers | None:
    """Return the input and output axes of a parameter for Muon; None means AdamW.

    Stacked layers and fused projections are batches of matrices, each of which is
    orthogonalized separately.
    """
    match group:
        case "hidden_filters":
            return contrib.MuonDimensionNumbers(tuple(range(ndim - 1)), -1)
        case "hidden":
            # Of more than two axes it is stacked: (layers, in, ..., out).
            return contrib.MuonDimensionNumbers(0 if ndim == 2 else 1, -1)
        case _:
            return None


def _by_path(function: Callable[[Path, jax.Array], Any], params: Any) -> Any:
    """Map each parameter with its path."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: function(tuple(getattr(k, "key", k) for k in path), x), params
    )
