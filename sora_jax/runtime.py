"""Settings of the process that only a program's entry point makes."""

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
    """Keep compiled programs in the user's cache folder, so that they start fast.

    A folder that was chosen already (`JAX_COMPILATION_CACHE_DIR`) stays chosen.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def cache_folder() -> Path:
    """Where compiled programs are kept."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(chosen or platformdirs.user_cache_path("sora_jax") / "compiled")


def set_cpu_matmul_dtype(cpu_matmul_dtype: str) -> None:
    """Let oneDNN round the factors of products in the programs that call it.

    It has no other switch than its environment, which it reads when it is first called.
    A choice that was made there stays.
    """
    if cpu_matmul_dtype == "bfloat16":
        os.environ.setdefault("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
        # XLA cannot keep programs that call oneDNN: they are compiled in every process.
        warnings.filterwarnings("ignore", "Error writing persistent compilation cache")


def join_hosts() -> bool:
    """Join the other hosts of a pod or a cluster; call it before devices are used.

    Started on every host of a TPU pod, or by srun or mpirun, a program finds the others
    by itself. Elsewhere JAX_COORDINATOR_ADDRESS (of the first, with a port),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID tell it about them.

    Returns:
      Whether this host is the first, which speaks for all.

    Raises:
      ValueError: only some of these are there, or are no numbers, or there are others
        that are not found.
    """
    # JAX would swallow SIGTERM; training listens for itself.
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
        except OSError:  # no metadata answers: this is no machine of Google's
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
    """Whether JAX should look for others: it takes notebooks' hosts for pods."""
    hosts = [os.environ[name] for name in TPU_HOSTS if name in os.environ]
    if hosts:
        slices = int(os.environ.get("MEGASCALE_NUM_SLICES") or 1)
        return "," in hosts[0] or slices > 1
    # On Kubernetes, what is no TPU pod is told by hand.
    return "KUBERNETES_SERVICE_HOST" not in os.environ


class Printable(logging.Formatter):
    """Names that messages repeat do nothing to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape control characters."""
        return cli.printable(super().format(record))


def show_log() -> None:
    """Show what the package has to say about what it does."""
    logger, handler = logging.getLogger(__package__), logging.StreamHandler()
    handler.setFormatter(Printable("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
