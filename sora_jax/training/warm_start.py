"""Initialize DiT training from another run or from weights."""

from __future__ import annotations

from typing import Any

from sora_jax.config import DiTRun
from sora_jax.families import OURS
from sora_jax.models.vae import VAE
from sora_jax.training.latents import Latents, config_differences, raise_problems
from sora_jax.weights import folders, workdirs
from sora_jax.weights.modules import parameters


def check_start(config: DiTRun) -> None:
    """Check the configs of the networks to start from; reads no parameter.

    Raises:
      ValueError: they are missing, or differ; names the fields.
    """
    if workdirs.is_workdir(config.start_from, "start_from"):
        start = workdirs.run_of(config.start_from, "start_from")
    else:
        try:
            start = folders.describe(config.start_from)
        except ValueError as error:
            raise ValueError(f"start_from: {error}") from error
    problems = config_differences("dit", config.dit, start.dit, "start from")
    if not config.text_from:
        problems += config_differences("text", config.text, start.text, "start from")
    raise_problems([f"{line} ({config.start_from!r})" for line in problems])


def load_start(config: DiTRun, latents: Latents) -> dict[str, Any]:
    """Load the parameters to start from, of a run or of weights.

    Raises:
      ValueError: they were trained on other latents or tokens.
    """
    names = workdirs.own_networks(config)
    if not workdirs.is_workdir(config.start_from, "start_from"):
        check_weights(config, latents)
        return workdirs.load_networks(config.start_from, names, "start_from")
    start = workdirs.load_trained(config.start_from, "start_from")
    others = [
        f"start_from {config.start_from!r} was trained on another {name} than "
        f"{config.latents!r} holds: train it again, or give its latents"
        for name in ("VAE", "text encoder" if config.text_from else "tokenizer")
        if latents.hashes.get(name) != start.sources.get(name)
    ]
    raise_problems(others)
    return {name: parameters(start.networks[name]) for name in names}


def check_weights(config: DiTRun, latents: Latents) -> None:
    """Check that weights use the same latents and tokens as the encoded clips.

    Raises:
      ValueError: says which differ.
    """
    folder = config.start_from
    others = []
    theirs = folders.load_network(folder, OURS.autoencoder)
    assert isinstance(theirs, VAE)
    if not workdirs.same_encoder(workdirs.load_vae(config.latents), theirs):
        others.append(f"encode the clips with its VAE (EncodeRun, vae {folder!r})")
    if not config.text_from and folders.load_tokenizer(folder) != latents.tokenizer:
        others.append(
            f"encode the clips with its tokenizer (EncodeRun, tokenizer {folder!r})"
        )
    if others:
        raise ValueError(
            f"start_from {folder!r} uses other latents or tokens than "
            f"{config.latents!r}: {', and '.join(others)}"
        )
