"""The result of a fine-tuning: an adapter of a few megabytes, or a weights folder."""

from __future__ import annotations

import dataclasses

from etils import epath

from sora_jax.config import SeenConfig
from sora_jax.families import OURS
from sora_jax.files import PathLike
from sora_jax.weights import adapter_files, adapters, bundle, folders, workdirs
from sora_jax.weights.adapter_files import Base
from sora_jax.weights.model_weights import LazyNetworks

ADAPTER, WEIGHTS = "adapter.safetensors", "weights"


def save_result(run_folder: PathLike, workdir: PathLike) -> str:
    """Write what a fine-tuning has learned; return its path.

    Args:
      run_folder: workdir of the DiT run.
      workdir: the folder to write it into.
    """
    trained = workdirs.load_trained(run_folder, "workdir")
    start, name = trained.run.start_from, OURS.transformer
    model, where = folders.describe(start), epath.Path(workdir)
    if trained.run.adapter is not None:
        learned = adapters.extract(trained.networks[name], trained.run.adapter)
        base = Base(name=model.name, digest=folders.digest(start), network=name)
        adapter_files.save_adapter(where / ADAPTER, learned, base)
        return str(where / ADAPTER)
    weights = folders.load_weights(start, exact=True)
    # All networks but the trained one are those of the start.
    loaders = {**weights.networks.loaders, name: lambda: trained.networks[name]}
    tuned = dataclasses.replace(
        weights,
        # Its clips may have had any words and sizes.
        config=dataclasses.replace(
            model, name=f"{model.name}-finetuned", seen=SeenConfig()
        ),
        networks=LazyNetworks(loaders, keep=weights.networks.keep),
    )
    bundle.save(where / WEIGHTS, tuned)
    return str(where / WEIGHTS)
