"""Load the results of runs: a VAE, trained networks, encoded clips."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import jax
import numpy as np
from etils import epath
from flax import nnx

from sora_jax import parameter_trees as trees
from sora_jax.checkpoint import Checkpoints, Steps
from sora_jax.config import (
    DiTRun,
    EncodeRun,
    VAEConfig,
    VAERun,
    from_json,
    resolve_dtypes,
)
from sora_jax.families import OURS
from sora_jax.files import PathLike, located
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.sharding import SINGLE_DEVICE
from sora_jax.types import TEXT
from sora_jax.weights import bundle, folders, safetensors_io
from sora_jax.weights.descriptions import COPY, exists, read_description, refuse_changed
from sora_jax.weights.modules import abstract_of, parameters
from sora_jax.weights.run_networks import build_network
from sora_jax.workdir import read_json

_logger = logging.getLogger(__name__)
CLIPS = "clips.json"  # of a folder of encoded clips: how many, and their hash


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """The networks of a DiT run.

    Attributes:
      run: its config.
      networks: with averaged parameters; the text encoder may be that of `text_from`.
      step: of the checkpoint.
      sources: hashes of its training inputs.
    """

    run: DiTRun
    networks: Mapping[str, nnx.Module]
    step: int
    sources: dict[str, str]


def load_vae(folder: PathLike, field: str = "vae") -> VAE:
    """Load the VAE of a weights folder, of encoded clips, or of a VAE run's workdir.

    The VAE of a weights folder includes the latents' mean and deviation.

    Raises:
      ValueError: the folder has no VAE.
    """
    where = located(folder, field)
    config = resolve_dtypes(describe_vae(folder, field), SINGLE_DEVICE.platform)
    if exists(where, "vae.safetensors"):
        refuse_changed(where, "vae.safetensors")
        return bundle.load_module(
            where / "vae.safetensors", lambda r: VAE(config, rngs=r)
        )
    if folders.find_stored_model(folder) is not None:
        return cast(VAE, folders.load_network(folder, OURS.autoencoder))
    run = from_json(VAERun, read_json(where / "config.json", COPY))
    graphdef, abstract = abstract_of(lambda r: VAE(config, rngs=r))
    name = OURS.autoencoder
    trained, kept = trees.split_trainable({name: abstract}, run.trainable)
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(None, {"ema": trained})
    if restored.step < run.steps:
        _logger.warning(
            "the VAE of %s is at step %d of %d", folder, restored.step, run.steps
        )
    params = restored.state["ema"]
    if kept:
        start = {name: parameters(load_vae(run.start_from, "start_from"))}
        params = trees.merge(start, params)
    return nnx.merge(graphdef, params[name])


def describe_vae(folder: PathLike, field: str = "vae") -> VAEConfig:
    """Read the config of a VAE; see `load_vae`."""
    where = located(folder, field)
    if exists(where, "vae.safetensors"):
        if not exists(where, "vae.json"):
            return bundle.describe(folder).vae
        data, _ = read_description(where / "vae.json")
        return from_json(VAEConfig, data, whole=True)
    stored = folders.find_stored_model(folder)
    if stored is not None:
        return stored.config.vae
    if not exists(where, "checkpoints"):
        raise ValueError(
            f"{field}: {str(folder)!r} holds neither vae.safetensors nor "
            "checkpoints; give the workdir of a VAE run (configs/playground_vae.py) or "
            "a weights folder"
        )
    return from_json(VAERun, read_json(where / "config.json", COPY)).vae


def saw_images_only(folder: PathLike) -> bool:
    """Whether a folder is the workdir of a VAE run on single frames, from the start."""
    where = located(folder, "start_from")
    if not exists(where, "checkpoints") or exists(where, "vae.safetensors"):
        return False
    run = from_json(VAERun, read_json(where / "config.json", COPY))
    before = run.start_from
    return tuple(run.data.lengths) == (1,) and (not before or saw_images_only(before))


def run_of(folder: PathLike, field: str) -> DiTRun:
    """Read the DiT run of a workdir; messages name `field`.

    Raises:
      ValueError: the folder is not a workdir.
    """
    path = located(folder, field) / "config.json"
    if not path.exists():
        raise ValueError(
            f"{field} {str(folder)!r} is not a workdir (no config.json): give "
            "that of a DiT run (configs/playground_dit.py)"
        )
    try:
        return from_json(DiTRun, read_json(path, COPY))
    except ValueError as error:
        raise ValueError(f"{field} {str(folder)!r}: {error}") from error


def load_trained(folder: PathLike, field: str) -> TrainedRun:
    """Load the averaged networks of a DiT run from its newest checkpoint.

    Raises:
      ValueError: the folder is not a workdir, or has no undamaged checkpoint.
    """
    run = run_of(folder, field)
    resolved = resolve_dtypes(run, SINGLE_DEVICE.platform)
    graphdefs, shapes = {}, {}
    for name in own_networks(run):
        graphdefs[name], shapes[name] = abstract_of(
            partial(build_network, resolved, name)
        )
    trained, kept = trees.split_trainable(shapes, run.trainable)
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(None, {"ema": trained})
    if restored.step < run.steps:
        _logger.warning(
            "the run of %s is at step %d of %d", folder, restored.step, run.steps
        )
    ema = restored.state["ema"]
    if kept:
        start = load_networks(run.start_from, tuple(shapes), "start_from")
        ema = trees.merge(start, ema)
    networks = {name: nnx.merge(graphdefs[name], ema[name]) for name in graphdefs}
    if run.text_from:
        text_encoder = OURS.contexts[TEXT]
        networks[text_encoder] = folders.load_network(run.text_from, text_encoder)
    return TrainedRun(
        run=run,
        networks=networks,
        step=restored.step,
        sources=restored.metadata.get("sources", {}),
    )


def own_networks(run: DiTRun) -> tuple[str, ...]:
    """Return the networks of a DiT run, without a text encoder of `text_from`."""
    encoders = {**OURS.contexts}
    if run.text_from:
        del encoders[TEXT]
    return (OURS.transformer, *encoders.values())


def is_workdir(folder: PathLike, field: str) -> bool:
    """Return whether a folder is a workdir, not a weights folder."""
    path = located(folder, field) / "config.json"
    return path.exists() and "kind" in read_json(path, COPY)


def load_networks(
    folder: PathLike, names: tuple[str, ...], field: str
) -> dict[str, Any]:
    """Load the parameters of networks from a DiT run (averaged) or from weights."""
    if is_workdir(folder, field):
        trained = load_trained(folder, field)
        return {name: parameters(trained.networks[name]) for name in names}
    load = partial(folders.load_network, folder, exact=True)
    return {name: parameters(load(name)) for name in names}


def tokenizer_of(run: DiTRun) -> Tokenizer:
    """Load the tokenizer of a run."""
    if run.text_from:
        return folders.load_tokenizer(run.text_from)
    return bundle.load_tokenizer(run.latents)


def encode_run_of(folder: PathLike) -> EncodeRun:
    """Read the EncodeRun of a folder of encoded clips.

    Raises:
      ValueError: the folder has no encoded clips.
    """
    path = located(folder, "folder") / "config.json"
    if not path.exists():
        raise ValueError(
            f"{str(folder)!r} holds no encoded clips, it has no config.json: run "
            "train.py with an encode config first (configs/playground_encode.py)"
        )
    return from_json(EncodeRun, read_json(path, COPY))


def clip_counts(folder: PathLike, run: EncodeRun) -> dict[str, int]:
    """Return how many clips of each split a finished encode run has."""
    path = located(folder, "folder") / CLIPS
    if not path.exists():  # written by an earlier version, from the playground
        return {"train": run.data.length, "held_out": run.held_out_clips}
    counts = read_json(path, COPY)
    return {name: int(counts[name]) for name in ("train", "held_out")}


def same_encoder(one: VAE, other: VAE) -> bool:
    """Return whether VAEs encode the same latents, apart from normalization.

    Compares in bfloat16, to which published weights are rounded.
    """
    if one.config != other.config:
        return False
    encoders = [parameters(vae)["encoder"] for vae in (one, other)]
    close = partial(np.allclose, rtol=1e-2, atol=1e-3)
    return jax.tree.all(jax.tree.map(close, *encoders))


def source_hashes_of_run(run: DiTRun) -> dict[str, str]:
    """Hash every input file of a DiT run."""
    hashes = source_hashes(run.latents)
    for number, folder in enumerate(run.more_latents):
        clips = source_hashes(folder)["set of clips"]
        hashes[f"set of clips of more_latents[{number}]"] = clips
    if run.text_from:
        hashes["text encoder"] = folders.digest(run.text_from)
    if run.trainable != "all":
        hashes["start_from"] = start_digest(run.start_from)
    return hashes


def start_digest(folder: PathLike) -> str:
    """Hash the folder with the frozen parameters of a run."""
    where = located(folder, "start_from")
    if newest := Steps(where).complete()[-1:]:
        return safetensors_io.file_hash(Steps(where).path(newest[0]) / "manifest.json")
    if exists(where, "vae.json"):
        return safetensors_io.file_hash(where / "vae.safetensors")
    return folders.digest(folder)


def source_hashes(folder: PathLike) -> dict[str, str]:
    """Hash every file of a folder of encoded clips."""
    files = {"VAE": "vae.safetensors", "tokenizer": "tokenizer.model"}
    files["set of clips"] = "config.json"
    where = epath.Path(folder)
    found = {
        name: safetensors_io.file_hash(where / file) for name, file in files.items()
    }
    if (where / CLIPS).exists():  # earlier versions wrote none
        found["set of clips"] += f"-{safetensors_io.file_hash(where / CLIPS)}"
    return found
