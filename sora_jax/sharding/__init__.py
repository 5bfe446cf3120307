"""Meshes, rules from logical to mesh axes, and placement of arrays.

Models name logical axes; only the config maps them to mesh axes (`RULES`) and sets the
mesh's shape. No other package names a mesh axis.
"""

from sora_jax.config.training import Rules
from sora_jax.sharding.arrays import fetch, on_host, place
from sora_jax.sharding.hosts import (
    any_host,
    fail_together,
    from_first_host,
    host_share,
    min_over_hosts,
)
from sora_jax.sharding.mesh_plan import SINGLE_DEVICE, Axes, MeshPlan
from sora_jax.sharding.meshes import frame_grid, make_mesh
from sora_jax.sharding.placing import (
    check_batch,
    check_shares,
    parameter_shardings,
    state_shardings,
    to_device,
)

__all__ = [
    "SINGLE_DEVICE",
    "Axes",
    "MeshPlan",
    "Rules",
    "any_host",
    "check_batch",
    "check_shares",
    "fail_together",
    "fetch",
    "frame_grid",
    "from_first_host",
    "host_share",
    "make_mesh",
    "min_over_hosts",
    "on_host",
    "parameter_shardings",
    "place",
    "state_shardings",
    "to_device",
]
