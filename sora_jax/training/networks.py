"""Abstract networks of a training program: structure and shapes by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from flax.traverse_util import unflatten_dict

from sora_jax import parameter_trees as trees
from sora_jax import sharding
from sora_jax.nn.precision import compute_dtype
from sora_jax.parameter_trees import Params, Path
from sora_jax.sharding import SINGLE_DEVICE, MeshPlan

# Networks by name, those that are trained and those that are frozen alike.
Networks = Mapping[str, Any]
# Builds them; they draw their initial parameters in this order.
Build = Callable[[nnx.Rngs], dict[str, nnx.Module]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractNetworks:
    """Networks with shapes in place of parameters.

    Attributes:
      graphdefs: the structure of each network.
      params: shape and dtype of each parameter and, on a mesh, its sharding.
      metadata: of each parameter, as its module declares it.
    """

    graphdefs: dict[str, nnx.GraphDef]
    params: Params
    metadata: dict[Path, Mapping[str, Any]]

    def merge(self, *params: Params) -> Networks:
        """Build the networks from one or several trees of parameters."""
        merged = trees.merge(*params)
        return {
            name: nnx.merge(graphdef, merged[name])
            for name, graphdef in self.graphdefs.items()
        }

    @property
    def optimizer_groups(self) -> dict[Path, str | None]:
        """Return the optimizer group of each parameter; see `training.optim`."""
        return {
            path: said.get("optimizer_group") for path, said in self.metadata.items()
        }


def abstract(build: Build, mesh_plan: MeshPlan = SINGLE_DEVICE) -> AbstractNetworks:
    """Trace networks without allocating parameters."""
    modules = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graphdefs, params, metadata = {}, {}, {}
    for name, module in modules.items():
        graphdefs[name], state = nnx.split(module)
        for path, variable in nnx.to_flat_state(state):
            metadata[(name, *path)] = variable.get_metadata()
        params[name] = nnx.to_pure_dict(state)
        if mesh_plan.is_sharded:
            placed = sharding.parameter_shardings(module, mesh_plan)
            params[name] = jax.tree.map(_placed, params[name], placed)
    return AbstractNetworks(graphdefs=graphdefs, params=params, metadata=metadata)


def _placed(x: Any, where: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)


def as_frozen(
    networks: AbstractNetworks, params: Params, dtypes: Mapping[str, str]
) -> Params:
    """Set the dtypes of frozen parameters to the compute dtype of their network.

    Args:
      networks: of the parameters.
      params: shapes of some of their parameters.
      dtypes: compute dtype of each network.
    """

    def describe(path: Path, x: Any) -> jax.ShapeDtypeStruct:
        kept = networks.metadata[path].get("keep_float32", False)
        dtype = x.dtype if kept else compute_dtype(dtypes[path[0]])
        return jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding)

    flat = trees.flatten_dict(params)
    return unflatten_dict({path: describe(path, x) for path, x in flat.items()})
