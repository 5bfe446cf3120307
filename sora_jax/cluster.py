"""What the environment tells of other hosts. Needs no JAX."""

from __future__ import annotations

import glob
import os

# What tells of several hosts where JAX does not find them.
BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# Where a TPU's runtime names the hosts of its pod; else the machine's metadata does.
TPU_HOSTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
# How many processes were started together, by mpirun of either kind or by srun.
STARTED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
# What a machine with TPUs has; its metadata may know of others.
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")


def may_be_several() -> bool:
    """Whether this process may be one of several, which must end together."""
    told = [os.environ.get(name, "") for name in STARTED]
    return (
        any(os.environ.get(name) for name in BY_HAND)
        or any(count not in ("", "1") for count in told)
        or any("," in os.environ.get(name, "") for name in TPU_HOSTS)
        or any(glob.glob(pattern) for pattern in TPU_DEVICES)
    )
