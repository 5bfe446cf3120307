"""Detect other hosts from the environment. Needs no JAX."""

from __future__ import annotations

import glob
import os

# Variables that configure several hosts by hand.
BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# Variables in which the TPU runtime lists the hosts of its pod.
TPU_HOSTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
# Variables with the number of processes that mpirun or srun started.
STARTED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
# Device files of a machine with TPUs, whose metadata may list other hosts.
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")


def may_be_several() -> bool:
    """Return whether this process may be one of several that must exit together."""
    told = [os.environ.get(name, "") for name in STARTED]
    return (
        any(os.environ.get(name) for name in BY_HAND)
        or any(count not in ("", "1") for count in told)
        or any("," in os.environ.get(name, "") for name in TPU_HOSTS)
        or any(glob.glob(pattern) for pattern in TPU_DEVICES)
    )
