"""Meshes, the one table from logical to mesh axes, and where arrays lie.

Models name logical axes; the config alone says which mesh axes they lie on (`RULES`)
and how long those are. Nothing else in the package knows a mesh axis by name.
"""

from sora_jax.sharding.arrays import fetch, on_host, place
from sora_jax.sharding.hosts import (
    any_host,
    fail_together,
    from_first_host,
    host_share,
    min_over_hosts,
)
from sora_jax.sharding.meshes import current, frame_grid, frames_mesh, make_mesh
from sora_jax.sharding.placing import (
    check_batch,
    check_shares,
    like_parameters,
    nest,
    parameter_shardings,
    to_device,
)
from sora_jax.sharding.mesh_plan import (
    Rules,
    constrain,
    context_axes,
    devices,
    gathered,
    is_active,
    platform,
    put,
    round_up,
    size,
    spec,
    use,
    without_mesh,
)

__all__ = [
    "Rules",
    "from_first_host",
    "any_host",
    "check_batch",
    "check_shares",
    "constrain",
    "context_axes",
    "current",
    "devices",
    "fetch",
    "frame_grid",
    "frames_mesh",
    "gathered",
    "host_share",
    "is_active",
    "min_over_hosts",
    "like_parameters",
    "make_mesh",
    "nest",
    "on_host",
    "without_mesh",
    "parameter_shardings",
    "place",
    "platform",
    "put",
    "round_up",
    "size",
    "spec",
    "to_device",
    "fail_together",
    "use",
]
