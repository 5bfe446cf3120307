"""The folder that an encode run leaves, opened and checked for the DiT's training."""

from __future__ import annotations

import dataclasses
from typing import Any

from etils import epath

from sora_jax.config import DiTRun
from sora_jax.data.records import Records
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.weights import published, workdirs

# Settings that say how a network is computed, never what.
HOW = ("attention", "dtype", "remat", "unroll")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Encoded clips and the tokenizer that learned from their captions.

    Attributes:
      train: clips to learn from.
      held_out: clips of the test split.
      tokenizer: learned from the captions.
      hashes: what ties a run to this folder.
    """

    train: Records
    held_out: Records
    tokenizer: Tokenizer
    hashes: dict[str, str]


def open_latents(config: DiTRun) -> Latents:
    """Open the latents folder of a run.

    Raises:
      ValueError: there is none, its encoding did not end, or its clips are not what the
        config describes; names every field that differs.
    """
    folder = epath.Path(config.latents)
    train, held_out = Records(folder / "train"), Records(folder / "held_out")
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    problems = _unfinished(folder, train, held_out) + _unlike(config, train)
    if config.text.vocabulary < tokenizer.vocab_size:
        problems.append(
            f"text.vocabulary must be at least {tokenizer.vocab_size}, the pieces of "
            f"{config.latents!r}, got {config.text.vocabulary}"
        )
    if problems:
        raise ValueError("\n".join(problems))
    return Latents(
        train=train,
        held_out=held_out,
        tokenizer=tokenizer,
        hashes=workdirs.source_hashes(folder),
    )


def check_start(config: DiTRun) -> None:
    """Refuse to start from a run that cannot lend its networks; reads no parameter.

    Raises:
      ValueError: there is none, or it trained other networks; names what differs.
    """
    start = workdirs.run_of(config.start_from, "start_from")
    problems = [
        f"{part}.{field.name} must be {getattr(theirs, field.name)} to start from "
        f"{config.start_from!r}, got {getattr(ours, field.name)}"
        for part, ours, theirs in (
            ("dit", config.dit, start.dit),
            ("text", config.text, start.text),
        )
        for field in dataclasses.fields(ours)
        if field.name not in HOW
        and getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    if problems:
        raise ValueError("\n".join(problems))


def load_start(config: DiTRun, latents: Latents) -> dict[str, Any]:
    """Averaged parameters of the run that this one starts from.

    Raises:
      ValueError: it was trained on other latents or tokens.
    """
    start = workdirs.load_trained(config.start_from, "start_from")
    others = [
        f"start_from {config.start_from!r} was trained on another {name} than "
        f"{config.latents!r} holds: train it again, or give its latents"
        for name in ("VAE", "tokenizer")
        if latents.hashes.get(name) != start.sources.get(name)
    ]
    if others:
        raise ValueError("\n".join(others))
    networks = {"dit": start.dit, "text_encoder": start.text_encoder}
    return {name: published.parameters(part) for name, part in networks.items()}


def _unfinished(folder: epath.Path, train: Records, held_out: Records) -> list[str]:
    encoded = workdirs.clips_of(folder)
    return [
        f"latents folder {str(folder)!r} holds {len(found)} of {wanted} {name} clips: "
        "start its encode command again, which continues"
        for name, found, wanted in (
            ("training", train, encoded.data.length),
            ("held-out", held_out, encoded.held_out_clips),
        )
        if len(found) < wanted
    ]


def _unlike(config: DiTRun, records: Records) -> list[str]:
    first, patch = records[0], config.dit.patch
    problems = [
        f"{name} must be {wanted} for the clips of {config.latents!r}, got {value}"
        for name, value, wanted in (
            ("dit.channels", config.dit.channels, first.latents.shape[-1]),
            ("dit.extra_channels", config.dit.extra_channels, first.known.shape[-1]),
        )
        if value != wanted
    ]
    sizes = sorted({tuple(entry["shape"][1:3]) for entry in records.index})
    odd = [size for size in sizes if size[0] % patch[1] or size[1] % patch[2]]
    if odd:
        problems.append(
            f"dit.patch[1:] must divide the latents of {config.latents!r}, got "
            f"{patch[1:]} for {odd}"
        )
    return problems
