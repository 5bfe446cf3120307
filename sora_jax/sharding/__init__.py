"""Meshes, the one table from logical to mesh axes, and where arrays lie.

Models name logical axes; the config alone says which mesh axes they lie on (`RULES`)
and how long those are. Nothing else in the package knows a mesh axis by name.
"""

from sora_jax.sharding.arrays import fetch, on_host, place
from sora_jax.sharding.hosts import agreed, anyone, host_share, least, together
from sora_jax.sharding.meshes import current, frame_grid, frames_mesh, make_mesh
from sora_jax.sharding.placing import (
    check_batch,
    check_shares,
    like_parameters,
    nest,
    parameter_shardings,
    to_device,
)
from sora_jax.sharding.rules import (
    Rules,
    constrain,
    context_axes,
    devices,
    gathered,
    is_active,
    on_paper,
    platform,
    put,
    round_up,
    size,
    spec,
    use,
)

__all__ = [
    "Rules",
    "agreed",
    "anyone",
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
    "least",
    "like_parameters",
    "make_mesh",
    "nest",
    "on_host",
    "on_paper",
    "parameter_shardings",
    "place",
    "platform",
    "put",
    "round_up",
    "size",
    "spec",
    "to_device",
    "together",
    "use",
]
