"""Process-wide settings, made only by a program's entry point."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import jax
import platformdirs

from sora_jax import cli
from sora_jax.cluster import BY_HAND, STARTED, TPU_HOSTS


def enable_compilation_cache() -> None:
    """Cache compiled programs in the user's cache folder.

    `JAX_COMPILATION_CACHE_DIR` takes precedence.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def cache_folder() -> Path:
    """Return the folder of cached programs."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(chosen or platformdirs.user_cache_path("sora_jax") / "compiled")


def set_cpu_matmul_dtype(cpu_matmul_dtype: str) -> None:
    """Let oneDNN round matmul inputs to a dtype.

    oneDNN reads this only from its environment variable, on its first call. A value set
    by the user takes precedence.
    """
    if cpu_matmul_dtype == "bfloat16":
        os.environ.setdefault("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
        # XLA cannot cache programs that call oneDNN: every process compiles them.
        warnings.filterwarnings("ignore", "Error writing persistent compilation cache")


def join_hosts() -> bool:
    """Join the other hosts of a pod or a cluster; call it before devices are used.

    On a TPU pod, and under srun or mpirun, the other hosts are detected automatically.
    Elsewhere set JAX_COORDINATOR_ADDRESS (the first host, with a port),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Returns:
      Whether this host is the first, which prints and writes for all.

    Raises:
      ValueError: only some of the variables are set, some are not numbers, or other
        hosts are expected but not found.
    """
    # JAX would swallow SIGTERM; training handles it itself.
    jax.config.update("jax_enable_preemption_service", False)
    given = [os.environ.get(name) for name in BY_HAND]
    if any(given):
        address, count, number = given
        if not (address and count and number and (count + number).isdecimal()):
            told = ", ".join(map("{}={!r}".format, BY_HAND, given))
            raise ValueError(
                f"several hosts need {', '.join(BY_HAND)}, got {told}: set all, the "
                "last two to numbers, or none"
            )
        jax.distributed.initialize(
            address,
            int(count),
            int(number),
            cluster_detection_method="deactivate",
        )
    elif _is_among_others():
        try:
            jax.distributed.initialize()
        except OSError:  # no metadata server: not a Google Cloud machine
            pass
        except ValueError as error:
            if "coordinator_address" not in str(error):
                raise
    started = max(int(os.environ.get(name, 1)) for name in STARTED)
    if started > 1 and jax.process_count() == 1:
        raise ValueError(
            f"one of {started} processes, which do not find each other: set "
            f"{', '.join(BY_HAND)} for each"
        )
    return jax.process_index() == 0


def _is_among_others() -> bool:
    """Return whether JAX should look for hosts: it mistakes notebook hosts for pods."""
    hosts = [os.environ[name] for name in TPU_HOSTS if name in os.environ]
    if hosts:
        slices = int(os.environ.get("MEGASCALE_NUM_SLICES") or 1)
        return "," in hosts[0] or slices > 1
    # On Kubernetes, only TPU pods are detected.
    return "KUBERNETES_SERVICE_HOST" not in os.environ


class Printable(logging.Formatter):
    """A log formatter that escapes control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape control characters."""
        return cli.printable(super().format(record))


def show_log() -> None:
    """Print the package's log messages."""
    logger, handler = logging.getLogger(__package__), logging.StreamHandler()
    handler.setFormatter(Printable("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
