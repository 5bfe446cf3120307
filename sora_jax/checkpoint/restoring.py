"""Restore a saved step, or some of its parts, to given devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from sora_jax import manifest

State = Mapping[str, Any]  # by name, nested dicts of arrays


class Restored(NamedTuple):
    """A restored step."""

    step: int
    state: dict[str, Any]
    metadata: dict[str, Any]


def load(root: epath.Path, step: int, abstract_state: State) -> Restored:
    """Restore an undamaged step.

    Args:
      root: the folder of all steps.
      step: which one.
      abstract_state: the parts to restore, as in `Checkpoints.restore_latest`.

    Raises:
      ValueError: the step does not have the requested arrays.
    """
    path = root / str(step)
    items: dict[str, Any] = jax.tree.map(_placed, dict(abstract_state))
    try:
        # To Orbax an empty dict means "everything".
        with _may_hold_more():
            state = ocp.load_checkpointables(path, items) if items else {}
        if lacking := _not_loaded(state):
            raise ValueError(f"it holds no {', '.join(lacking[:4])}")
    except Exception as error:
        # The files are undamaged, so the request differs.
        raise ValueError(
            f"{path} does not have the requested arrays ({error}); "
            "was it saved by another config or version? Give another --workdir"
        ) from error
    return Restored(step, state, manifest.metadata(path))


def _may_hold_more() -> ocp.Context:
    """Allow a step to hold more than is requested; the surplus is not read."""
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    return context


def _not_loaded(state: Mapping[str, Any]) -> list[str]:
    """Return the requested arrays that the step lacks; Orbax leaves them abstract."""
    leaves = jax.tree_util.tree_leaves_with_path(dict(state))
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in leaves
        if isinstance(leaf, jax.ShapeDtypeStruct)
    ]


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """Give an abstract array without a sharding the default device."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
