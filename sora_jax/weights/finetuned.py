"""The result of a fine-tuning: an adapter of a few megabytes, or a weights folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
from etils import epath
from flax import nnx

from sora_jax import sharding
from sora_jax.config import SeenConfig
from sora_jax.families import OURS
from sora_jax.files import PathLike
from sora_jax.weights import (
    adapter_files,
    adapters,
    bundle,
    folders,
    peft_files,
    workdirs,
)
from sora_jax.weights.adapter_files import Base
from sora_jax.weights.adapter_paths import DIFFUSERS, TRAINED
from sora_jax.weights.adapters import Adapter
from sora_jax.weights.model_weights import LazyNetworks, Weights
from sora_jax.weights.workdirs import TrainedRun

WEIGHTS, PEFT = "weights", "peft"


def save_result(run_folder: PathLike, workdir: PathLike, *, peft: bool = False) -> str:
    """Write what a fine-tuning has learned; return its path.

    All hosts call this, since all restore the run; the first writes.

    Args:
      run_folder: workdir of the DiT run.
      workdir: the folder to write it into.
      peft: write an adapter in PEFT's form as well.
    """
    trained = workdirs.load_trained(run_folder, "workdir")
    is_adapter = trained.run.adapter is not None
    path = epath.Path(workdir) / (TRAINED if is_adapter else WEIGHTS)
    with sharding.fail_together():
        if jax.process_index() == 0:
            write = write_adapter if is_adapter else write_weights
            write(path, trained)
            if peft:
                write_peft(epath.Path(workdir) / PEFT, trained)
    return str(path)


def write_adapter(path: epath.Path, trained: TrainedRun) -> None:
    """Write the factors of a run, which name the weights that they belong to."""
    start, name = trained.run.start_from, OURS.transformer
    base = Base(
        name=folders.describe(start).name, digest=folders.digest(start), network=name
    )
    adapter_files.save_adapter(path, learned_by(trained), base)


def write_peft(folder: epath.Path, trained: TrainedRun) -> None:
    """Write the factors of a run in PEFT's form, named after the published tensors.

    Where there are any, diffusers reads another file beside.
    """
    family, config = folders.describe_family(trained.run.start_from)
    tables = family.tables(config, OURS.transformer)
    model, learned = trained.networks[OURS.transformer], learned_by(trained)
    peft_files.save_adapter(folder, learned, model, *tables[:1])
    if tables:
        peft_files.save_for_diffusers(folder / DIFFUSERS, learned, model, tables[0])


def learned_by(trained: TrainedRun) -> Adapter:
    """Return the factors of a run."""
    assert trained.run.adapter is not None
    return adapters.extract(trained.networks[OURS.transformer], trained.run.adapter)


def write_weights(path: epath.Path, trained: TrainedRun) -> None:
    """Write the weights of a run; networks that were not trained are the start's."""
    start, name = trained.run.start_from, OURS.transformer
    family, config = folders.describe_family(start)
    load = partial(folders.load_network, start, exact=True)
    loaders: dict[str, Callable[[], nnx.Module]] = {
        each: partial(load, each) for each in family.used(config)
    }
    loaders[name] = lambda: trained.networks[name]
    tuned = Weights(
        config=dataclasses.replace(
            config,
            name=f"{config.name}-finetuned",
            seen=SeenConfig(),  # its clips may have had any words and sizes
        ),
        tokenizer=folders.load_tokenizer(start),
        networks=LazyNetworks(loaders, keep=False),
        family=family,
    )
    bundle.save(path, tuned)
