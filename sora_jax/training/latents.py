"""What a DiT's training begins with, opened and checked: clips, and other networks."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from etils import epath

from sora_jax.config import DiTConfig, DiTRun, TextConfig
from sora_jax.data.records import Records
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.models.vae import VAE
from sora_jax.weights import folders, published, workdirs
from sora_jax.workdir import read_json

# Settings that say how a network is computed, never what.
HOW = ("attention", "dtype", "remat", "unroll")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Encoded clips, and the tokenizer that reads their captions.

    Attributes:
      train: clips to learn from, of all folders.
      held_out: clips of the test split.
      tokenizer: learned from the captions, or that of `text_from`.
      hashes: what ties a run to what it reads.
    """

    train: Records
    held_out: Records
    tokenizer: Tokenizer
    hashes: dict[str, str]


def open_latents(config: DiTRun) -> Latents:
    """Open the latents folders of a run.

    Raises:
      ValueError: there is none, its encoding did not end, or its clips are not what the
        config describes; names every field that differs.
    """
    folder = epath.Path(config.latents)
    every = (folder, *map(epath.Path, config.more_latents))
    train = Records(*(one / "train" for one in every))
    hashes = workdirs.source_hashes(folder)
    tokenizer = workdirs.tokenizer_of(config)
    problems = [line for one in every for line in _unfinished(one)]
    problems += _unlike(config, train)
    for number, more in enumerate(config.more_latents, start=2):
        theirs = workdirs.source_hashes(more)
        hashes[f"set of clips {number}"] = theirs["set of clips"]
        if theirs["VAE"] != hashes["VAE"]:
            problems.append(
                f"more_latents must be clips that the VAE of {config.latents!r} "
                f"encoded (EncodeRun, vae {config.latents!r}), got {more!r}"
            )
    if config.text_from:
        theirs = folders.describe(config.text_from).text
        lines = differences("text", config.text, theirs, "read with")
        problems += [f"{line} (text_from {config.text_from!r})" for line in lines]
        hashes |= {"text encoder": folders.digest(config.text_from)}
    if config.text.vocabulary < tokenizer.vocab_size:
        problems.append(
            f"text.vocabulary must be at least {tokenizer.vocab_size}, the pieces of "
            f"{config.text_from or config.latents!r}, got {config.text.vocabulary}"
        )
    if problems:
        raise ValueError("\n".join(problems))
    return Latents(
        train=train,
        held_out=Records(folder / "held_out"),
        tokenizer=tokenizer,
        hashes=hashes,
    )


def check_start(config: DiTRun) -> None:
    """Refuse to start from networks of another kind; reads no parameter.

    Raises:
      ValueError: there are none, or they are others; names what differs.
    """
    if is_workdir(config.start_from):
        start = workdirs.run_of(config.start_from, "start_from")
    else:
        try:
            start = folders.describe(config.start_from)
        except ValueError as error:
            raise ValueError(f"start_from: {error}") from error
    problems = differences("dit", config.dit, start.dit, "start from")
    if not config.text_from:
        problems += differences("text", config.text, start.text, "start from")
    if problems:
        raise ValueError(
            "\n".join(f"{line} ({config.start_from!r})" for line in problems)
        )


def is_workdir(folder: str) -> bool:
    """Whether a folder is a run's, and not one of weights."""
    path = epath.Path(folder) / "config.json"
    return path.exists() and "kind" in read_json(path, published.COPY)


def differences(
    part: str,
    ours: DiTConfig | TextConfig,
    theirs: DiTConfig | TextConfig,
    purpose: str,
) -> list[str]:
    """What two networks differ in, beside how they are computed."""
    return [
        f"{part}.{field.name} must be {getattr(theirs, field.name)} to {purpose} what "
        f"is there, got {getattr(ours, field.name)}"
        for field in dataclasses.fields(ours)
        if field.name not in HOW
        and getattr(ours, field.name) != getattr(theirs, field.name)
    ]


def load_start(config: DiTRun, latents: Latents) -> dict[str, Any]:
    """Parameters of the run, or of the weights, that this one starts from.

    Raises:
      ValueError: they were trained on other latents or tokens.
    """
    names = ("dit",) if config.text_from else ("dit", "text_encoder")
    if not is_workdir(config.start_from):
        check_weights(config, latents)
        load = partial(folders.network, config.start_from, exact=True)
        return {name: published.parameters(load(name)) for name in names}
    start = workdirs.load_trained(config.start_from, "start_from")
    others = [
        f"start_from {config.start_from!r} was trained on another {name} than "
        f"{config.latents!r} holds: train it again, or give its latents"
        for name in ("VAE", "text encoder" if config.text_from else "tokenizer")
        if latents.hashes.get(name) != start.sources.get(name)
    ]
    if others:
        raise ValueError("\n".join(others))
    return {name: published.parameters(getattr(start, name)) for name in names}


def check_weights(config: DiTRun, latents: Latents) -> None:
    """Refuse to start from weights that know other latents or tokens.

    Raises:
      ValueError: names which.
    """
    folder = config.start_from
    others = []
    theirs = folders.network(folder, "vae")
    assert isinstance(theirs, VAE)
    if not workdirs.same_encoder(workdirs.load_vae(config.latents), theirs):
        others.append(f"encode the clips with its VAE (EncodeRun, vae {folder!r})")
    if not config.text_from and folders.tokenizer(folder) != latents.tokenizer:
        others.append(
            f"encode the clips with its tokenizer (EncodeRun, tokenizer {folder!r})"
        )
    if others:
        raise ValueError(
            f"start_from {folder!r} knows other latents or tokens than "
            f"{config.latents!r} holds: {', and '.join(others)}"
        )


def _unfinished(folder: epath.Path) -> list[str]:
    encoded = workdirs.clips_of(folder)
    return [
        f"latents folder {str(folder)!r} holds {found} of {wanted} {name} clips: "
        "start its encode command again, which continues"
        for name, part, wanted in (
            ("training", "train", encoded.data.length),
            ("held-out", "held_out", encoded.held_out_clips),
        )
        if (found := len(Records(folder / part))) < wanted
    ]


def _unlike(config: DiTRun, records: Records) -> list[str]:
    first, patch = records[0], config.dit.patch
    problems = [
        f"{name} must be {wanted} for the clips of {config.latents!r}, got {value}"
        for name, value, wanted in (
            ("dit.channels", config.dit.channels, first.latents.shape[-1]),
            ("dit.extra_channels", config.dit.extra_channels, first.known.shape[-1]),
        )
        # A transformer of text alone leaves out what is known.
        if value != wanted and (value or name != "dit.extra_channels")
    ]
    sizes = sorted({tuple(entry["shape"][1:3]) for entry in records.index})
    odd = [size for size in sizes if size[0] % patch[1] or size[1] % patch[2]]
    if odd:
        problems.append(
            f"dit.patch[1:] must divide the latents of {config.latents!r}, got "
            f"{patch[1:]} for {odd}"
        )
    return problems
