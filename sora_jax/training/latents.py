"""The folder that an encode run leaves, opened and checked for the DiT's training."""

from __future__ import annotations

import dataclasses

from etils import epath

from sora_jax.config import DiTRun
from sora_jax.data.records import Records
from sora_jax.models.tokenizer import Tokenizer
from sora_jax.weights import published


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
        hashes=published.source_hashes(folder),
    )


def _unfinished(folder: epath.Path, train: Records, held_out: Records) -> list[str]:
    encoded = published.clips_of(folder)
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
