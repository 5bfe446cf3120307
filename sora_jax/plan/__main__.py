"""`python -m sora_jax.plan`: plan the steps of a config for an absent machine."""

from __future__ import annotations

import os
import sys

# Set before libtpu loads: it should compile, not look for TPUs.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v6e-8")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import jax  # noqa: E402

from sora_jax import cli  # noqa: E402
from sora_jax.plan import command  # noqa: E402

if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    with cli.exit_with_message("stopped"):
        command.main(sys.argv[1:])
